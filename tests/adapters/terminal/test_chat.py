"""The conversation, with hands that type and press Ctrl-C, and a screen that is a string."""

import asyncio
import concurrent.futures
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from adapters.terminal import chat as module
from adapters.terminal.chat import AGAIN, NOTHING_TO_RATE, STOPPED, THANKS, Chat, Screen
from bot.messages import MessageKind, Outcome, Reply
from tests.adapters.terminal.core import TinyCore, channel_with


class Terminal(io.StringIO):
    """What a reader sees at the end: the cursor's jumps are followed."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        lines, row = [""], 0
        for step in self.getvalue().replace("\x1b[J", "\x0b").split("\x1b["):
            jump, letter, rest = step.partition("A") if step[:1].isdigit() else ("", "", step)
            row -= int(jump or 0) if letter else 0
            for sign in rest:
                if sign == "\n":
                    row += 1
                    lines += [""] * (row - len(lines) + 1)
                elif sign == "\x0b":
                    del lines[row:]
                    lines.append("")
                elif sign != "\r":
                    lines[row] += sign
        return "\n".join(lines)


class Hands:
    """Types each line when the prompt appears; None is Ctrl-C, the end is Ctrl-D."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = list(lines)

    def __call__(self, prompt: str) -> str:
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if line is None:
            raise KeyboardInterrupt
        return line


class _Impatient(concurrent.futures.Future[Any]):
    """A future whose waiter presses Ctrl-C first."""

    def __init__(self, inner: concurrent.futures.Future[Any], presses: int) -> None:
        super().__init__()
        self._inner, self._presses = inner, presses

    def result(self, timeout: float | None = None) -> Any:
        if self._presses:
            self._presses -= 1
            raise KeyboardInterrupt
        return self._inner.result(timeout)

    def cancel(self) -> bool:
        return self._inner.cancel()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


Sit = Callable[..., str]


@pytest.fixture
def sit(loop: asyncio.AbstractEventLoop) -> Iterator[Sit]:
    running: list[concurrent.futures.Future[None]] = []

    def sit(core: TinyCore, hands: Hands, *, presses: int = 0, out: Terminal | None = None) -> str:
        out = out or Terminal()
        screen = Screen(out, columns=lambda: 40)
        channel = channel_with(core, on_snapshot=screen.snapshot, on_notice=screen.notice)
        running.append(asyncio.run_coroutine_threadsafe(channel.run(core), loop))

        def submit(work: Coroutine[Any, Any, Any], /) -> Any:
            future = asyncio.run_coroutine_threadsafe(work, loop)
            return _Impatient(future, presses) if "ask" in getattr(work, "__qualname__", "") else future

        Chat(channel=channel, submit=submit, screen=screen, read=hands, user="li", collections=("default",)).run()
        return out.seen()

    yield sit
    for future in running:
        future.cancel()
    concurrent.futures.wait(running, 5)


def test_the_answer_grows_and_ends_whole(sit: Sit) -> None:
    seen = sit(TinyCore(seconds=0.03), Hands("退货期限"))
    assert seen.count("回答：退货期限") == 1
    assert "…" not in seen
    assert "来源:\n  [1] 退货说明  https://shop.example.com/faq" in seen


def test_an_answer_longer_than_a_row_is_written_over_itself(sit: Sit) -> None:
    def bold(_: object) -> Reply:
        return Reply(outcome=Outcome.ANSWERED, text="先说一句。\n\n**" + "很长的话" * 10 + "** 完。", language="zh")

    seen = sit(TinyCore(bold, seconds=0.03), Hands("a"))
    assert seen.count("先说一句") == 1
    assert seen.count("很长的话") == 10


def test_ctrl_c_stops_the_running_answer_and_the_talk_goes_on(sit: Sit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    core = TinyCore(seconds=30)
    seen = sit(core, Hands("慢", "/up"), presses=1)
    assert [message.kind for message in core.messages] == [MessageKind.TEXT, MessageKind.STOP]
    assert STOPPED in seen
    assert NOTHING_TO_RATE in seen


def test_ctrl_c_twice_leaves(sit: Sit) -> None:
    core = TinyCore(seconds=30)
    sit(core, Hands("慢", "never asked"), presses=2)
    assert [message.text for message in core.messages if message.text] == ["慢"]


def test_ctrl_c_at_the_prompt_asks_first(sit: Sit) -> None:
    core = TinyCore()
    assert AGAIN in sit(core, Hands(None, "好", None, None, "never asked"))
    assert [message.text for message in core.messages] == ["好"]


@pytest.mark.parametrize("word", ["/quit", "/exit", "/QUIT"])
def test_words_that_leave(sit: Sit, word: str) -> None:
    core = TinyCore()
    sit(core, Hands("", word, "never asked"))
    assert core.messages == []


@pytest.mark.parametrize("word, rating", [("/up", "up"), ("/down", "down")])
def test_the_last_answer_can_be_rated(sit: Sit, word: str, rating: str) -> None:
    core = TinyCore()
    assert THANKS in sit(core, Hands("好", word))
    feedback = core.messages[-1].feedback
    assert feedback is not None
    assert (feedback.turn_id, feedback.rating) == ("turn of 好", rating)


def test_what_can_not_be_answered_is_said_and_the_talk_goes_on(sit: Sit) -> None:
    core = TinyCore()
    seen = sit(core, Hands("\u200b", "好"))
    assert "kefu: there is nothing to answer" in seen
    assert "回答：好" in seen


def test_an_agents_reply_appears_beside_the_prompt() -> None:
    out = Terminal()
    screen = Screen(out, columns=lambda: 40)
    screen.prompting(True)
    screen.notice(Reply(outcome=Outcome.HANDOFF, text="您好", language="zh"))
    assert out.seen() == "\n您好\n\n> "


def test_without_a_terminal_only_whole_answers_are_written() -> None:
    out = io.StringIO()
    screen = Screen(out, columns=lambda: 40)
    screen.snapshot("半")
    screen.reply(echo_reply())
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().startswith("好的")


def echo_reply() -> Reply:
    return Reply(outcome=Outcome.ANSWERED, text="好的", language="zh")
