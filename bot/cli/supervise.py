"""`kefu run --supervise`: one process that starts the bot, starts it again after a crash, and leaves nothing behind.

An engine's worker processes must not outlive the bot: they hold the GPU. systemd and containers see to that
themselves (docs/operating.md); this is for a plain shell. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

BACKOFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_SECONDS = 60.0
"""A bot that lived this long starts again at once when it crashes: its earlier crashes are another story."""
STOP_SECONDS = 35.0
"""More than a graceful stop takes; then the whole group is killed."""
REAP_SECONDS = 10.0
OPERATOR_ERROR = 2
"""The bot's exit status when starting again can not help."""

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_WATCHED = _STOPPING | {signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Runs `command` until it ends by itself, or until it is told to stop.

    It has one thread and waits for nothing but signals, so that none can be missed.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def run(self) -> int:
        """The exit status for the shell: the bot's own."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        failures = 0
        while True:
            started = time.monotonic()
            status, stopped = self._run_once()
            if stopped or status in (0, OPERATOR_ERROR):
                return status
            if time.monotonic() - started > STEADY_SECONDS:
                failures = 0
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            failures += 1
            click.echo(f"kefu: ended with status {status}; starting again in {pause:g} s", err=True)
            if _wait_for_stop(pause):
                return 0

    def _run_once(self) -> tuple[int, bool]:
        """The bot's exit status, and whether it was told to stop. All its descendants are gone after this."""
        child = self._start()
        try:
            return _watch(child)
        finally:
            _end_descendants(child)

    def _start(self) -> int:
        parent = os.getpid()
        child = os.fork()
        if child:
            return child
        try:
            os.setpgid(0, 0)
            # A supervisor that is killed takes the bot with it, gracefully.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            os.execv(self._command[0], self._command)  # noqa: S606 - our own command line, no shell wanted
        finally:
            os._exit(127)


def _watch(child: int) -> tuple[int, bool]:
    deadline: float | None = None
    while True:
        wait = STOP_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
        received = signal.sigtimedwait(_WATCHED, wait)
        if received is not None and received.si_signo in _STOPPING:
            # A closed terminal (SIGHUP) is a request to stop, as gentle as the others.
            gentle = signal.SIGTERM if received.si_signo == signal.SIGHUP else received.si_signo
            with suppress(ProcessLookupError):
                os.kill(child, gentle)
            deadline = deadline or time.monotonic() + STOP_SECONDS
        elif deadline is not None and time.monotonic() >= deadline:
            click.echo(f"kefu: did not stop within {STOP_SECONDS:g} s; killed", err=True)
            _kill_group(child)
        status = _reap(child)
        if status is not None:
            return status, deadline is not None


def _reap(child: int) -> int | None:
    """Takes leave of every dead child, adopted ones too; the bot's exit status if it was among them."""
    status = None
    with suppress(ChildProcessError):
        while True:
            pid, encoded = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(encoded)
                status = code if code >= 0 else 128 - code
    return status


def _end_descendants(child: int) -> None:
    """Kills what is left of the bot's group, and orphans that left the group: they are our children now."""
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        _kill_group(child)
        for orphan in _children():
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        _reap(0)
        if not _children():
            return
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
    click.echo("kefu: some processes of the bot can not be ended", err=True)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _children() -> list[int]:
    """Our children that live, or wait to be reaped."""
    me = os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # pid (name) state parent …; a name may hold spaces and brackets itself.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == me:
                    found.append(int(entry.name))
    return found


def _wait_for_stop(seconds: float) -> bool:
    """Whether a request to stop came within that time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        received = signal.sigtimedwait(_WATCHED, left)
        if received is not None and received.si_signo in _STOPPING:
            return True
    return False


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
