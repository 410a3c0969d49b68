"""`kefu run`: every channel that is on, until it is asked to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import click

from bot import failpoints
from bot.cli.common import Operator, configure_logging
from bot.errors import OperatorError
from bot.settings import Settings

GRACE_SECONDS = 28.0
"""A stop that takes longer than draining may is ended by force; what is unfinished is taken up by the next start."""
HURRY_SECONDS = 1.5
"""What is left of the process's life after a second signal."""
OPEN_FILES = 65_536
"""A browser that waits for its answer holds a connection: the usual 1,024 would be the first limit to be met."""


@click.command(short_help="Start every channel that is on.")
@click.option("--supervise", is_flag=True, help="Own the process group: start again after a crash, leave no process.")
@click.pass_obj
def run(operator: Operator, supervise: bool) -> None:
    """Start every channel that is on. SIGTERM or Ctrl-C ends it gracefully within 30 s, a second one at once."""
    # Until the loop has its own handlers there is nothing to drain, and a stop is a stop.
    signal.signal(signal.SIGTERM, _leave)
    settings = operator.settings()
    if supervise:
        from bot.cli.supervise import Supervisor

        sys.exit(Supervisor(_own_command(operator)).run())
    configure_logging(settings)
    _arm(settings)
    _raise_open_files()
    signals = _Signals()
    try:
        asyncio.run(_run(settings, signals))
    except asyncio.CancelledError:
        sys.exit(signals.status)


def _leave(signum: int, frame: object) -> NoReturn:
    sys.exit(0)


async def _run(settings: Settings, signals: _Signals) -> None:
    from bot.app import admin_token, open_app

    stop = signals.listen()
    async with open_app(settings, alone=True) as app:
        admin, made = await admin_token(settings)
        if made is not None:
            click.echo(f"Admin token for the tickets API, shown this once: {made}")
        web = settings.channels.get("web")
        page = "/chat" if web is not None and web.on else ""
        await app.serve(stop, http=admin, recover=True, ready=lambda address: _say_ready(address + page))


def _say_ready(address: str) -> None:
    # What the start made stays to the end. Going through it again and again would find nothing and hold up everything
    # else: with vLLM 690,000 objects, which takes a second on two busy cores.
    gc.freeze()
    click.echo(f"kefu is ready: {address}")


class _Signals:
    """The first SIGTERM or Ctrl-C asks to stop, the second ends it."""

    def __init__(self) -> None:
        self.status = 0
        """The exit status of a run that was cancelled. A stop that took too long has still been a stop."""

    def listen(self) -> asyncio.Event:
        """Is set by the first signal."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.current_task()
        assert task is not None

        def end(signum: int) -> None:
            if not stop.is_set():
                stop.set()
                loop.call_later(GRACE_SECONDS, task.cancel)
                loop.call_later(GRACE_SECONDS + HURRY_SECONDS, os._exit, 1)
            else:
                self.status = 128 + signum
                task.cancel()
                loop.call_later(HURRY_SECONDS, os._exit, self.status)

        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, end, signum)
        return stop


def _own_command(operator: Operator) -> list[str]:
    # -P: not whatever package happens to lie in the current directory.
    command = [sys.executable, "-P", "-c", "from bot.cli import main; main()", "run"]
    if operator.config is not None:
        command += ["--config", str(operator.config)]
    return [*command, "--debug"] if operator.debug else command


def _arm(settings: Settings) -> None:
    try:
        failpoints.arm(settings.failpoint)
    except ValueError as error:
        raise OperatorError(str(error)) from error


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        with suppress(ValueError, OSError):  # a container may forbid it; the old limit holds then
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
