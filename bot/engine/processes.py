"""The processes an engine has started: known by number and start time, so that a number used anew harms nobody.

vLLM's engine and its workers outlive a bot that was killed, by minutes, and hold the GPU. What runs is therefore
written down, and the next start ends what is left of it (`kefu run --supervise` does so at once). Linux only; elsewhere
nothing is found.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """One process of this machine, since it was last started."""

    pid: int
    started: int
    """In ticks of the kernel's clock since it booted, as /proc/PID/stat has it."""


def descendants(pid: int) -> frozenset[Process]:
    """Children of a process, their children, and so on. Reads /proc: not on the event loop."""
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
    for process in alive(processes):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGKILL)


def remember(file: Path, processes: Iterable[Process]) -> None:
    """Writes down what runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([[process.pid, process.started] for process in sorted(processes)]), encoding="utf-8")


def end_remembered(file: Path) -> int:
    """Ends what an earlier run wrote down and left behind. Returns how many there were."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        left = alive(Process(pid=int(pid), started=int(started)) for pid, started in stored)
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, TypeError):
        left = frozenset()  # torn by the crash that we are cleaning up after
    kill(left)
    file.unlink(missing_ok=True)
    return len(left)


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
