"""The conversation on a terminal: a line is asked, the answer grows, Ctrl-C stops it and, twice, leaves.

This runs in the main thread, because readline and Ctrl-C only work there; the core's loop runs in another, and
`Submit` crosses over.
"""

from __future__ import annotations

import concurrent.futures
import shutil
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TextIO, TypeVar

from adapters.terminal import view
from adapters.terminal.channel import TerminalChannel
from bot.errors import KefuError
from bot.messages import Feedback, Reply

T = TypeVar("T")

STOP_SECONDS = 5.0
"""How long a stopped answer may take to end before it is not waited for any more."""
PROMPT = "> "

GREETING = """\
kefu 客服 · 直接输入问题；/help 帮助，/reset 重新开始，/ticket 内容 建工单，/up /down 评价回答；Ctrl-C 停止，Ctrl-D 退出
Ask away; /help, /reset, /ticket TEXT, /up or /down for the last answer; Ctrl-C stops, Ctrl-D leaves"""
AGAIN = "再按一次 Ctrl-C 退出 · Ctrl-C again to leave"
STOPPED = "已停止 · stopped"
THANKS = "谢谢反馈 · thank you"
NOTHING_TO_RATE = "还没有可评价的回答 · there is no answer to rate yet"


class Submit(Protocol):
    """Runs a coroutine on the core's loop."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> concurrent.futures.Future[T]: ...


class Screen:
    """What is on the terminal, and the answer that grows at its end. Called from both threads."""

    def __init__(self, out: TextIO, *, columns: Callable[[], int] | None = None) -> None:
        self._out = out
        self._live = out.isatty()
        self._columns = columns or (lambda: shutil.get_terminal_size().columns)
        self._grown: str | None = None
        """The growing answer as it stands on the screen; None when there is none."""
        self._prompting = False
        self._lock = threading.Lock()

    def prompting(self, prompting: bool) -> None:
        """Whether the reader is at the prompt: what arrives then makes room for itself."""
        with self._lock:
            self._prompting = prompting

    def line(self, text: str) -> None:
        with self._lock:
            self._write(text + "\n")

    def snapshot(self, markdown: str) -> None:
        """The answer so far; with nothing in it, somebody is at work."""
        if not self._live:
            return
        with self._lock:
            if not self._prompting:
                self._grow(view.words(markdown, width=self._columns()) if markdown else "…")

    def reply(self, reply: Reply) -> None:
        """The whole reply, written over what grew of it."""
        with self._lock:
            self._grow(view.whole(reply, width=self._columns()))
            self._grown = None
            self._write("\n")

    def notice(self, reply: Reply) -> None:
        """A reply that nobody waits for, such as an agent's."""
        with self._lock:
            again = PROMPT if self._prompting else ""
            self._write(f"\n{view.whole(reply, width=self._columns())}\n\n{again}")

    def drop(self) -> None:
        """The answer will not grow any more."""
        with self._lock:
            if self._grown is not None:
                self._write("\n")
            self._grown = None

    def _grow(self, text: str) -> None:
        shown = self._grown
        if shown is not None and text.startswith(shown):
            self._write(text[len(shown) :])
        elif shown is not None:
            # Markdown that was still open has closed ("**bo" became "bold"): write the answer again, over itself.
            above = view.rows(shown, self._columns()) - 1
            self._write((f"\x1b[{above}A" if above else "") + "\r\x1b[J" + text)
        else:
            self._write(text)
        self._grown = text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class _Leave(Exception):
    """The reader wants to go."""


class Chat:
    """One sitting."""

    def __init__(
        self,
        *,
        channel: TerminalChannel,
        submit: Submit,
        screen: Screen,
        read: Callable[[str], str],
        user: str,
        collections: Sequence[str],
    ) -> None:
        """`read` shows a prompt and returns a line; EOFError leaves."""
        self._channel = channel
        self._submit = submit
        self._screen = screen
        self._read = read
        self._user = user
        self._collections = collections
        self._last_turn = ""

    def run(self, *, greet: bool = True) -> None:
        """Talks until the reader leaves."""
        if greet:
            self._screen.line(GREETING + "\n")
        warned = False
        while True:
            try:
                line = self._prompt()
                warned = False
                self._do(line)
            except (EOFError, _Leave):
                if greet:
                    self._screen.line("")
                return
            except KeyboardInterrupt:
                if warned:
                    self._screen.line("")
                    return
                warned = True
                self._screen.line(f"\n{AGAIN}")

    def _prompt(self) -> str:
        self._screen.prompting(True)
        try:
            return self._read(PROMPT).strip()
        finally:
            self._screen.prompting(False)

    def _do(self, line: str) -> None:
        match line.lower():
            case "":
                return
            case "/quit" | "/exit":
                raise _Leave
            case "/up" | "/down":
                self._rate(line.lower() == "/up")
            case _:
                self._ask(line)

    def _ask(self, line: str) -> None:
        answer = self._submit(self._channel.ask(line, self._user, self._collections))
        try:
            reply = self._wait(answer)
        except KefuError as error:
            self._screen.drop()
            self._screen.line(f"kefu: {error}")
            return
        if reply is None:
            self._screen.drop()
            self._screen.line(STOPPED)
            return
        self._last_turn = reply.turn_id or self._last_turn
        self._screen.reply(reply)
        self._screen.line("")

    def _wait(self, answer: concurrent.futures.Future[Reply]) -> Reply | None:
        """The reply; None when the reader stopped it and no other words came instead."""
        try:
            return answer.result()
        except KeyboardInterrupt:
            stopping = self._submit(self._channel.stop(self._user))
        try:
            stopping.result(STOP_SECONDS)
            return answer.result(STOP_SECONDS)
        except TimeoutError:
            answer.cancel()
            return None
        except KeyboardInterrupt:
            answer.cancel()
            raise _Leave from None

    def _rate(self, up: bool) -> None:
        if not self._last_turn:
            self._screen.line(NOTHING_TO_RATE)
            return
        feedback = Feedback(turn_id=self._last_turn, rating="up" if up else "down")
        try:
            self._submit(self._channel.rate(self._user, feedback)).result(STOP_SECONDS)
        except KefuError as error:
            self._screen.line(f"kefu: {error}")
        except TimeoutError:
            self._screen.line("kefu: the rating could not be kept in time")
        else:
            self._screen.line(THANKS)
