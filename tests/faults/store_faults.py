"""Ways to take the database's disk away, and to give it back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.faults.processes import ROOT, clean_environment

Holder = asyncio.subprocess.Process

_HOLD = """
import sys, time
from tests.core import sqlite
connection = sqlite.library().connect(sys.argv[1], isolation_level=None, timeout=10)
for _ in range(int(sys.argv[3])):
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
    connection.execute("ROLLBACK")
    time.sleep(0.001)
"""


@contextlib.asynccontextmanager
async def locked(
    database: Path, *, seconds: float = 600.0, times: int = 1
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process holds the database exclusively, so often and so long, or until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(database), str(seconds), str(times), cwd=ROOT, env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"locked\n", "the lock was not had"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def may_mount(folder: Path) -> str:
    """Why no small file system can be mounted here; "" when it can."""
    if os.geteuid() != 0:
        return "not root: no tmpfs of a chosen size can be mounted"
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "kefu-test", str(folder)], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        return f"mount: {done.stderr.strip()}"
    subprocess.run(["umount", str(folder)], check=True)
    return ""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """The folder is a file system of its own of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "kefu-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes every free byte; the file to delete when space is to return."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast


@contextlib.contextmanager
def no_file_may_grow(pid: int, database: Path) -> Iterator[None]:
    """The kernel refuses the process to write beyond what its database and log have already: for who is not root."""
    sizes = [path.stat().st_size for path in database.parent.glob(f"{database.name}*")]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(sizes), hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
