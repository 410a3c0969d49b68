"""`kefu chat` over a small core; the real one is behind the same door in tests/core."""

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.terminal.channel import TerminalChannel
from bot.errors import OperatorError
from bot.messages import Outcome, ReceiptStatus
from bot.settings import Settings
from tests.adapters.terminal.core import TinyCore, echo
from tests.cli.house import Kefu


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> TinyCore:
    tiny = TinyCore()

    @contextlib.asynccontextmanager
    async def open_terminal(_: Settings, channel: TerminalChannel) -> AsyncIterator[asyncio.Event]:
        tiny.channel = channel
        task = asyncio.create_task(channel.run(tiny))
        opened = asyncio.Event()
        opened.set()
        try:
            yield opened
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    monkeypatch.setattr("bot.cli.opening.open_terminal", open_terminal)
    return tiny


def test_once_prints_the_answer_and_its_source(kefu: Kefu, core: TinyCore) -> None:
    called = kefu("chat", "--once", "退货期限")
    assert called.status == 0
    assert called.out == "回答：退货期限\n来源:\n  [1] 退货说明  https://shop.example.com/faq\n"


def test_once_as_json_has_the_fields_of_the_contract(kefu: Kefu, core: TinyCore) -> None:
    answer = kefu("chat", "--once", "退货期限", "--json").json
    assert list(answer) == ["id", "response", "confidence", "outcome", "sources", "ticket", "latency_ms"]
    assert (answer["response"], answer["outcome"], answer["confidence"]) == ("**回答**：退货期限", "answered", 0.8765)
    assert answer["latency_ms"] >= 0


def test_a_user_keeps_one_conversation_and_nobody_has_one_of_their_own(kefu: Kefu, core: TinyCore) -> None:
    for arguments in (["--user", "li"], ["--user", "li"], [], []):
        kefu("chat", "--once", "好", *arguments)
    channels = [message.conversation.channel for message in core.messages]
    assert channels[:2] == ["li", "li"]
    assert len(set(channels)) == 3


def test_collections_can_be_chosen(kefu: Kefu, core: TinyCore) -> None:
    kefu("chat", "--once", "年假", "--collection", "internal", "--collection", "default")
    assert core.messages[0].collections == ("internal", "default")


@pytest.mark.parametrize("failure", ["apology", "shed", "empty"])
def test_once_fails_when_there_is_no_answer(kefu: Kefu, core: TinyCore, failure: str) -> None:
    if failure == "apology":
        core.answer = lambda message: replace(echo(message), outcome=Outcome.ERROR)
    elif failure == "shed":
        core.status = ReceiptStatus.SHED
    called = kefu("chat", "--once", "" if failure == "empty" else "好")
    assert called.status == 1
    assert failure == "apology" or called.err.startswith("kefu: ")


def lines(folder: Path, *rows: Any, name: str = "questions.jsonl") -> str:
    path = folder / name
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def test_a_batch_answers_every_line_in_order(kefu: Kefu, core: TinyCore, tmp_path: Path) -> None:
    core.seconds = 0.01
    file = lines(tmp_path, *({"id": number, "text": f"问{number}"} for number in range(30)))
    called = kefu("chat", "--batch", file, "--json")
    answers = [json.loads(line) for line in called.out.splitlines()]
    assert called.status == 0 and called.err == ""
    assert [(answer["id"], answer["response"]) for answer in answers] == [(n, f"**回答**：问{n}") for n in range(30)]
    assert core.most_open_turns > 1


def test_a_bad_line_is_named_and_the_rest_is_answered(kefu: Kefu, core: TinyCore, tmp_path: Path) -> None:
    file = lines(tmp_path, {"id": 1, "text": "a"}, "oops\n", {"id": 3, "text": "c", "collections": ["internal"]})
    called = kefu("chat", "--batch", file, "--json")
    assert called.status == 1
    assert called.err == "kefu: questions.jsonl:2: is not JSON in UTF-8\n"
    assert [json.loads(line)["id"] for line in called.out.splitlines()] == [1, 3]
    assert core.messages[-1].collections == ("internal",)


def test_a_batch_comes_from_a_pipe_too(kefu: Kefu, core: TinyCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"id": 1, "text": "a"}\nx\n')))
    called = kefu("chat", "--batch", "-", "--json")
    assert called.err == "kefu: -:2: is not JSON in UTF-8\n"
    assert json.loads(called.out)["id"] == 1


@pytest.mark.parametrize(
    "arguments",
    [("--once", "a", "--batch", "-"), ("--batch", "-", "--user", "li"), ("--json",), ("--batch", "gone.jsonl")],
    ids=["both", "user of a batch", "json of a talk", "no file"],
)
def test_what_does_not_go_together_is_a_usage_error(kefu: Kefu, core: TinyCore, arguments: tuple[str, ...]) -> None:
    assert kefu("chat", *arguments).status == 2
    assert core.messages == []


def test_lines_that_are_typed_are_a_conversation(kefu: Kefu, core: TinyCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("一\n/help\n\n二\n"))
    called = kefu("chat", "--user", "li")
    assert called.status == 0
    assert [line for line in called.out.splitlines() if line.startswith("回答")] == [
        "回答：一",
        "回答：/help",
        "回答：二",
    ]
    assert {message.conversation.channel for message in core.messages} == {"li"}


@pytest.mark.parametrize("arguments", [(), ("--once", "a")], ids=["conversation", "once"])
def test_a_core_that_can_not_start_is_one_line(
    kefu: Kefu, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    @contextlib.asynccontextmanager
    async def open_terminal(*_: object) -> AsyncIterator[asyncio.Event]:
        raise OperatorError("data/ can not be written")
        yield asyncio.Event()

    monkeypatch.setattr("bot.cli.opening.open_terminal", open_terminal)
    called = kefu("chat", *arguments)
    assert (called.status, called.err) == (2, "kefu: data/ can not be written\n")


def test_a_question_that_is_not_answered_in_time_does_not_end_the_talk(
    kefu: Kefu, core: TinyCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.silent = True
    monkeypatch.setattr("adapters.terminal.channel.ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("sys.stdin", io.StringIO("一\n二\n"))
    called = kefu("chat")
    assert called.out.count("kefu: no answer within") == 2
    assert called.status == 0


@pytest.mark.parametrize("typed", ["", "一\n"], ids=["at once", "while it is asked"])
def test_a_core_that_falls_over_ends_the_talk_and_says_why(
    kefu: Kefu, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    @contextlib.asynccontextmanager
    async def open_terminal(_: Settings, channel: TerminalChannel) -> AsyncIterator[asyncio.Event]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fall_over())
            yield asyncio.Event()

    async def fall_over() -> None:
        await asyncio.sleep(0.2)
        raise OperatorError("the index is of another embedder")

    monkeypatch.setattr("bot.cli.opening.open_terminal", open_terminal)
    monkeypatch.setattr("sys.stdin", SlowHands(typed))
    called = kefu("chat")
    assert (called.status, called.err) == (2, "kefu: the index is of another embedder\n")


class SlowHands(io.StringIO):
    """Closes the terminal only after a while."""

    def readline(self, *_: Any) -> str:  # type: ignore[override]  # typeshed has both bytes and str here
        line = super().readline()
        if not line:
            time.sleep(0.5)
        return line
