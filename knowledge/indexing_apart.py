"""Indexes of a large table, made by a process that gives way to the searches of this one.

The full-text index of 100,000 passages takes 8 s of a core. LanceDB makes it in the very threads that search, so
here every search would wait for its turn among them, and a thread's priority could not tell the two apart.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

# They give way to LanceDB's threads in the process that searches (`knowledge.process.NICENESS`), which answer in a
# knowledge so large that it is searched on the disk.
_NICENESS = 10
_LIMIT_SECONDS = 3600.0
_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}


async def make_indexes_apart(folder: Path, table: str, columns: tuple[str, ...]) -> bool:
    """Makes them over the newest version of a table on this machine; False where that failed, for whatever reason.

    Ends with this process, however that ends.
    """
    starting = asyncio.create_task(asyncio.to_thread(_start, folder, table, columns))
    try:
        process = await asyncio.shield(starting)
        return await asyncio.to_thread(process.wait, _LIMIT_SECONDS) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        await asyncio.shield(_end(starting))


def _start(folder: Path, table: str, columns: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - this Python, this file
        [sys.executable, "-I", __file__, str(folder), table, *columns],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # It needs no setting of ours, and secrets are among them.
        env=_ENVIRONMENT,
    )


async def _end(starting: "asyncio.Task[subprocess.Popen[bytes]]") -> None:
    """Ends the process, also one that is just being started."""
    with contextlib.suppress(OSError):
        process = await starting
        process.kill()
        await asyncio.to_thread(process.wait)
        if process.stdin is not None:
            process.stdin.close()


def _end_with_parent() -> None:
    # Not `sys.stdin`, whose lock would be in the way of an ordinary end.
    while os.read(0, 1):
        pass
    os._exit(1)


async def _make(folder: str, table: str, columns: tuple[str, ...]) -> None:
    from knowledge.lance import connect_async
    from knowledge.table_indexes import make_indexes

    connection = await connect_async(folder)
    await make_indexes(await connection.open_table(table), columns)


def _main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(_NICENESS)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    asyncio.run(_make(sys.argv[1], sys.argv[2], tuple(sys.argv[3:])))


if __name__ == "__main__":
    _main()
