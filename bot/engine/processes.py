"""What an engine holds of this machine: its processes, the memory they share and the sockets they meet at.

vLLM's engine and its workers outlive a bot that was killed, by minutes, and hold the GPU. What they hold is therefore
written down, and the next start ends what is left of it (`kefu run --supervise` ends the processes at once). A process
is known by number and start time, so that a number used anew harms nobody. Linux only; elsewhere nothing is found.

All of this reads /proc, kills or waits: not on the event loop.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GONE_SECONDS = 10.0
"""A killed process may take a while to give a GPU's memory back."""
_PROC = Path("/proc")
_SHARED = re.compile(r"/dev/shm/(?:psm_|sem\.mp-)[^\s/]+")  # noqa: S108 - a name to look for, not to write to
"""What Python's multiprocessing makes. A process that is killed leaves it behind, some hundred megabytes at a time."""
_SOCKET = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What vLLM names a socket in the system's folder for temporary files. It removes none, seven for each engine."""
_SOCKET_INODE = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """One process of this machine, since it was last started."""

    pid: int
    started: int
    """In ticks of the kernel's clock since it booted, as /proc/PID/stat has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an engine holds."""

    processes: frozenset[Process] = frozenset()
    files: frozenset[Path] = frozenset()
    """Of shared memory, and sockets."""


def held_since(before: frozenset[Process]) -> Holding:
    """What was started by this process beside those that ran before, and the files they all share."""
    started = descendants(os.getpid()) - before
    # What is made for a child is ours until it has taken it.
    return Holding(processes=started, files=_files([os.getpid(), *_numbers(started)]))


def descendants(pid: int) -> frozenset[Process]:
    """Children of a process, their children, and so on."""
    children: dict[int, list[Process]] = {}
    for entry in _PROC.iterdir() if _PROC.exists() else ():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            process, parent = stat
            children.setdefault(parent, []).append(process)
    found: set[Process] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child.pid)
    return frozenset(found)


def alive(processes: Iterable[Process]) -> frozenset[Process]:
    """Those that still run. One that has ended and was not yet taken leave of by its parent does not."""
    return frozenset(process for process in processes if _runs(process))


def kill(processes: Iterable[Process]) -> None:
    """Ends those that still run, stopped ones too."""
    _send(alive(processes), signal.SIGKILL)


def end(held: Holding) -> bool:
    """Kills the processes and removes the files. Returns whether all of them were gone within `GONE_SECONDS`."""
    deadline = time.monotonic() + GONE_SECONDS
    running = alive(held.processes)
    # Stopped first: whoever is still starting up could make more of them meanwhile.
    _send(running, signal.SIGSTOP)
    files = held.files | _files(_numbers(running))
    _send(running, signal.SIGKILL)
    while (left := alive(running)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for file in files:
        with suppress(OSError):
            file.unlink()
    return not left


class Record:
    """What an engine holds, on file from its first process on until the last is gone.

    All that this process starts after the record was opened counts: the library starts what it needs, when it needs it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._before = descendants(os.getpid())
        self._held = Holding()

    @property
    def processes(self) -> frozenset[Process]:
        """All that was noted, whether it still runs or not."""
        return self._held.processes

    def note(self) -> None:
        """Adds what has been started since the last time."""
        fresh = held_since(self._before)
        held = Holding(processes=self._held.processes | fresh.processes, files=self._held.files | fresh.files)
        if held != self._held:
            self._held = held
            remember(self._file, held)

    def end(self) -> None:
        """Ends all of it. What can not be ended stays on file."""
        self.note()
        if end(self._held):
            self._file.unlink(missing_ok=True)


def remember(file: Path, held: Holding) -> None:
    """Writes down what is held. A crash in the middle leaves what was written before."""
    stored = {
        "processes": [[process.pid, process.started] for process in sorted(held.processes)],
        "files": sorted(map(str, held.files)),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(json.dumps(stored), encoding="utf-8")
    fresh.replace(file)


def end_remembered(file: Path) -> int:
    """Ends what an earlier run wrote down and left behind. Returns how many processes still ran."""
    try:
        held = _read(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        held = Holding()  # not ours, or damaged: better to kill nobody
    left = alive(held.processes)
    end(held)
    file.unlink(missing_ok=True)
    return len(left)


def _read(text: str) -> Holding:
    stored = json.loads(text)
    return Holding(
        processes=frozenset(Process(pid=int(pid), started=int(started)) for pid, started in stored["processes"]),
        files=frozenset(file for file in map(Path, stored["files"]) if _is_shared(file) or _is_socket(file)),
    )


def _send(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def _numbers(processes: Iterable[Process]) -> list[int]:
    return [process.pid for process in processes]


def _files(pids: Sequence[int]) -> frozenset[Path]:
    return _shared_memory(pids) | _sockets(pids)


def _is_shared(file: Path) -> bool:
    return _SHARED.fullmatch(str(file)) is not None


def _is_socket(file: Path) -> bool:
    return file.parent == Path(tempfile.gettempdir()) and bool(_SOCKET.fullmatch(file.name)) and file.is_socket()


def _sockets(pids: Iterable[int]) -> frozenset[Path]:
    """Those that these processes have bound."""
    inodes: set[str] = set()
    for pid in pids:
        with suppress(OSError):  # it has ended
            for descriptor in (_PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):  # it was closed
                    inodes.update(_SOCKET_INODE.findall(str(descriptor.readlink())))
    with suppress(OSError):
        table = (_PROC / "net" / "unix").read_text(encoding="utf-8", errors="replace")
        # Number, references, protocol, flags, type, state, inode, and where it is bound its path.
        rows = (line.split(maxsplit=7) for line in table.splitlines()[1:])
        bound = {Path(row[7]) for row in rows if len(row) == 8 and row[6] in inodes}
        return frozenset(filter(_is_socket, bound))
    return frozenset()


def _shared_memory(pids: Iterable[int]) -> frozenset[Path]:
    found: set[Path] = set()
    for pid in pids:
        with suppress(OSError):  # it has ended
            maps = (_PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace")
            found.update(map(Path, _SHARED.findall(maps)))
    return frozenset(found)


def _runs(process: Process) -> bool:
    stat = _stat(process.pid)
    return stat is not None and stat[0] == process


def _stat(pid: int) -> tuple[Process, int] | None:
    """The process and its parent's number; None when it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # pid (name) state parent … start time as the 22nd; a name may hold blanks and brackets itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else (Process(pid, int(fields[19])), int(fields[1]))
