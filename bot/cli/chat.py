"""`kefu chat`: the same core from a terminal, for one question, a file of them, or a conversation."""

from __future__ import annotations

import asyncio
import concurrent.futures
import getpass
import sys
import threading
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, cast

import click

from bot.cli.common import Operator, configure_logging, print_json

if TYPE_CHECKING:  # the channel and the core are imported when something is asked, not for `kefu chat --help`
    from adapters.terminal.batch import Result
    from adapters.terminal.channel import TerminalChannel
    from bot.settings import Settings

T = TypeVar("T")


@click.command(short_help="Talk to the bot from this terminal.")
@click.option("--once", "question", metavar="TEXT", help="Ask one question, print the answer and leave.")
@click.option(
    "--batch",
    "file",
    metavar="FILE.jsonl",
    type=click.File("rb"),
    help='Answer a file of {"id","text","user"?,"collections"?} lines; "-" is standard input.',
)
@click.option("--user", metavar="ID", help="Ask as this user, whose conversation goes on from call to call.")
@click.option("--collection", "collections", metavar="NAME", multiple=True, help="Answer from this collection.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one a line for --batch.")
@click.pass_obj
def chat(
    operator: Operator,
    question: str | None,
    file: BinaryIO | None,
    user: str | None,
    collections: tuple[str, ...],
    as_json: bool,
) -> None:
    """Talk to the bot from this terminal: the same core, knowledge and database as every other channel."""
    if question is not None and file is not None:
        raise click.UsageError("--once and --batch exclude each other")
    if file is not None and (user is not None or collections):
        raise click.UsageError("in a batch, user and collections stand in the lines")
    if as_json and question is None and file is None:
        raise click.UsageError("--json needs --once or --batch")
    settings = operator.settings()
    configure_logging(settings, quiet=True)
    names = collections or ("default",)
    if question is not None:
        asyncio.run(_once(settings, question, user, names, as_json))
    elif file is not None:
        printer = _BatchPrinter(getattr(file, "name", "-"))
        asyncio.run(_batch(settings, file, printer))
        printer.close()
        if printer.problems:
            sys.exit(1)
    else:
        _converse(settings, user or _login_name(), names)


async def _once(settings: Settings, question: str, user: str | None, collections: Sequence[str], as_json: bool) -> None:
    from adapters.terminal import view
    from adapters.terminal.channel import nobody
    from adapters.terminal.chat import Screen
    from bot.cli.opening import open_terminal, terminal_channel, wait_until_open
    from bot.messages import Outcome

    screen = Screen(sys.stdout)
    channel = terminal_channel(settings, None if as_json else screen)
    async with open_terminal(settings, channel) as opened:
        await wait_until_open(opened)
        started = time.perf_counter()
        reply = await channel.ask(question, user or nobody(), collections)
        took = (time.perf_counter() - started) * 1000
        if as_json:
            print_json(view.reply_json(reply, id=reply.turn_id, latency_ms=took))
        else:
            screen.reply(reply)
    if reply.outcome is Outcome.ERROR:
        sys.exit(1)


async def _batch(settings: Settings, file: BinaryIO, printer: _BatchPrinter) -> None:
    from adapters.terminal.batch import answer_lines
    from bot.cli.opening import open_terminal, terminal_channel, wait_until_open

    channel = terminal_channel(settings)
    async with open_terminal(settings, channel) as opened:
        await wait_until_open(opened)
        await answer_lines(cast("Iterable[bytes]", file), channel.ask, printer)


class _BatchPrinter:
    """Answers on standard output, problems on standard error, progress on a terminal that shows neither."""

    def __init__(self, name: str) -> None:
        from tqdm import tqdm

        self.problems = 0
        self._name = "-" if name == "<stdin>" else Path(name).name
        self._bar = tqdm(unit=" answers", disable=not sys.stderr.isatty() or sys.stdout.isatty())

    def __call__(self, result: Result) -> None:
        if result.answer is not None:
            print_json(result.answer)
        if result.problem:
            self.problems += 1
            self._bar.clear()
            click.echo(f"kefu: {self._name}:{result.line}: {result.problem}", err=True)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def _converse(settings: Settings, user: str, collections: Sequence[str]) -> None:
    from adapters.terminal.chat import Chat, Screen
    from bot.cli.opening import terminal_channel

    with suppress(ImportError):  # some builds of Python have none; editing a line is then the terminal's own
        import readline  # noqa: F401 - importing it gives input() its editing and its history
    screen = Screen(sys.stdout)
    channel = terminal_channel(settings, screen)
    typed = sys.stdin.isatty()
    with _Core(settings, channel, user) as core:
        talk = Chat(
            channel=channel,
            submit=core.submit,
            screen=screen,
            read=input if typed else lambda _prompt: input(),
            user=user,
            collections=collections,
        )
        talk.run(greet=typed)


class _Core:
    """The core on a loop in a thread of its own: readline and Ctrl-C need the main thread."""

    def __init__(self, settings: Settings, channel: TerminalChannel, user: str) -> None:
        self._settings = settings
        self._channel = channel
        self._user = user
        self._started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
        self._started = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def __enter__(self) -> Self:
        threading.Thread(target=self._live, name="kefu core", daemon=True).start()
        either: list[concurrent.futures.Future[Any]] = [self._started, self._ended]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if self._ended.done():
            self._ended.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, stop = self._started.result()
        if not self._ended.done():
            loop.call_soon_threadsafe(stop.set)
        # A core that fell over says so here, whatever its silence made of the talk.
        self._ended.result()

    def submit(self, work: Coroutine[Any, Any, T], /) -> concurrent.futures.Future[T]:
        if self._ended.done():
            work.close()
            raise EOFError  # the talk ends, and __exit__ says why
        loop, _ = self._started.result()
        return asyncio.run_coroutine_threadsafe(work, loop)

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - carried over to the main thread, which raises it
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        from bot.cli.opening import open_terminal

        stop = asyncio.Event()
        async with open_terminal(self._settings, self._channel):
            with self._channel.present(self._user):
                self._started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "local"
