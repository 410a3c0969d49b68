import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from adapters.terminal import channel as module
from adapters.terminal.channel import NoAnswer, TerminalChannel
from bot.messages import Author, Feedback, MessageKind, ReceiptStatus, Reply
from tests.adapters.terminal.core import TinyCore, channel_with, echo


@contextlib.asynccontextmanager
async def running(core: TinyCore, **callbacks: Any) -> AsyncIterator[TerminalChannel]:
    channel = channel_with(core, **callbacks)
    task = asyncio.create_task(channel.run(core))
    try:
        yield channel
    finally:
        task.cancel()
        await channel.close()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_question_gets_its_own_reply() -> None:
    core = TinyCore(seconds=0.01)
    async with running(core) as channel:
        replies = await asyncio.gather(*(channel.ask(f"问题{n}", f"user{n % 3}") for n in range(9)))
    assert [reply.text for reply in replies] == [f"**回答**：问题{n}" for n in range(9)]
    said = core.messages[0]
    assert (said.sender.id, said.conversation.platform, said.conversation.channel) == (
        "terminal:user0",
        "terminal",
        "user0",
    )
    assert len({key for message in core.messages for key in message.keys}) == 9


async def test_a_reply_that_is_faster_than_the_receipt_is_not_missed() -> None:
    class Eager(TinyCore):
        async def accept(self, messages: Any, *, cursor: Any = None) -> Any:
            receipts = await super().accept(messages)
            await asyncio.sleep(0.05)  # the turn is over before its receipt is here
            return receipts

    async with running(Eager()) as channel:
        assert (await channel.ask("快", "a")).text == "**回答**：快"


async def test_one_reply_may_answer_several_questions() -> None:
    core = TinyCore()
    core.silent = True
    async with running(core) as channel:
        asking = [asyncio.create_task(channel.ask(text, "a")) for text in ("一", "二")]
        while len(core.messages) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await core.deliver(core.messages[0], replace(echo(core.messages[0]), answers=(1, 2)))
        assert len({reply.text for reply in await asyncio.gather(*asking)}) == 1


@pytest.mark.parametrize(
    "text, kind, command, rest",
    [
        ("/help", MessageKind.COMMAND, "help", ""),
        ("/Ticket 屏幕碎了\n怎么办", MessageKind.COMMAND, "ticket", "屏幕碎了\n怎么办"),
        ("/etc/passwd 是什么", MessageKind.TEXT, "", "/etc/passwd 是什么"),
        ("/helpful", MessageKind.TEXT, "", "/helpful"),
        (" 你\u202e好\udcff\x1b[2J ", MessageKind.TEXT, "", "你好[2J"),
        ("长" * 80, MessageKind.TEXT, "", "长" * 50),
    ],
    ids=["command", "command with words", "path", "word", "hidden characters", "too long"],
)
async def test_what_a_line_means(text: str, kind: MessageKind, command: str, rest: str) -> None:
    core = TinyCore()
    async with running(core) as channel:
        await channel.ask(text, "a", ("default", "internal"))
    said = core.messages[0]
    assert (said.kind, said.command, said.text) == (kind, command, rest)
    assert said.collections == ("default", "internal")


@pytest.mark.parametrize(
    "user, sender",
    [
        pytest.param("terminal:li", "terminal:li", id="with platform"),
        pytest.param(" li ", "terminal:li", id="spaces"),
        pytest.param("\u200b", "terminal:local", id="nothing"),
        pytest.param("telegram:1", "terminal:telegram:1", id="another platform"),
    ],
)
async def test_nobody_speaks_as_a_person_of_another_platform(user: str, sender: str) -> None:
    core = TinyCore()
    async with running(core) as channel:
        await channel.ask("好", user)
    assert core.messages[0].sender.id == sender


async def test_no_answer_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    core = TinyCore()
    core.silent = True
    async with running(core) as channel:
        with pytest.raises(NoAnswer, match="no answer within"):
            await channel.ask("好", "a")
        assert not await core.deliver(core.messages[0], replace(echo(core.messages[0]), answers=(1,)))


async def test_a_core_that_never_starts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    with pytest.raises(NoAnswer, match="did not start"):
        await channel_with(TinyCore()).ask("好", "a")


@pytest.mark.parametrize("status", [ReceiptStatus.SHED, ReceiptStatus.DUPLICATE, ReceiptStatus.DONE])
async def test_a_message_that_will_not_be_answered_is_not_waited_for(status: ReceiptStatus) -> None:
    core = TinyCore()
    core.status = status
    async with running(core) as channel:
        with pytest.raises(NoAnswer):
            await asyncio.wait_for(channel.ask("好", "a"), 1)


async def test_an_agents_reply_waits_until_somebody_sits_there() -> None:
    core, notices = TinyCore(), list[Reply]()
    async with running(core, on_notice=notices.append) as channel:
        await channel.ask("好", "a")
        from_agent = replace(echo(core.messages[0]), author=Author.AGENT, agent="李雷")
        assert not await core.deliver(core.messages[0], from_agent)
        with channel.present("a"):
            assert await core.deliver(core.messages[0], from_agent)
    assert notices == [from_agent]


async def test_snapshots_are_shown_only_while_somebody_looks() -> None:
    core, seen = TinyCore(), list[str]()
    async with running(core, on_snapshot=seen.append) as channel:
        reply = await channel.ask("好", "a")
        place = core.messages[0].conversation
        assert channel.show_interval(place) is not None
        await channel.show(place, "nobody here", shown=None, turn_id="")
    assert seen[0] == "" and seen[-1] == reply.text
    assert channel_with(core).show_interval(place) is None


async def test_ratings_and_stops_reach_the_core() -> None:
    core = TinyCore()
    async with running(core) as channel:
        await channel.rate("a", Feedback(turn_id="t", rating="up"))
        await channel.stop("a")
    assert [message.kind for message in core.messages] == [MessageKind.FEEDBACK, MessageKind.STOP]
    assert core.messages[0].feedback == Feedback(turn_id="t", rating="up")


async def test_a_stopping_bot_leaves_nobody_waiting() -> None:
    core = TinyCore()
    core.silent = True
    async with running(core) as channel:
        asking = asyncio.create_task(channel.ask("好", "a"))
        while not core.messages:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(NoAnswer, match="stopping"):
            await asking


@pytest.mark.parametrize("early", [False, True], ids=["while it is waited for", "before the receipt"])
async def test_a_turn_without_a_reply_is_not_waited_for(early: bool) -> None:
    class Held(TinyCore):
        async def accept(self, messages: Any, *, cursor: Any = None) -> Any:
            receipts = await super().accept(messages)
            if early:
                self.hold()
            else:
                asyncio.get_running_loop().call_later(0.02, self.hold)
            return receipts

        def hold(self) -> None:
            assert self.channel is not None
            self.channel.silent(self.messages[0].conversation, (1,))

    core = Held()
    core.silent = True
    async with running(core) as channel:
        with pytest.raises(NoAnswer, match="a person has this conversation"):
            await asyncio.wait_for(channel.ask("好", "a"), 5)


async def test_an_answer_that_comes_after_its_question_was_given_up_is_still_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Crossing(TinyCore):
        """The late answer to the first question crosses with the second one."""

        async def accept(self, messages: Any, *, cursor: Any = None) -> Any:
            receipts = await super().accept(messages)
            if len(self.messages) == 2:
                await self.deliver(self.messages[0], replace(echo(self.messages[0]), answers=(1,)))
                await asyncio.sleep(0.05)
            return receipts

    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    core, notices = Crossing(), list[Reply]()
    core.silent = True
    async with running(core, on_notice=notices.append) as channel:
        with pytest.raises(NoAnswer):
            await channel.ask("一", "a")
        core.silent = False
        monkeypatch.setattr(module, "ANSWER_SECONDS", 5)
        assert (await channel.ask("二", "a")).text == "**回答**：二"
    assert [reply.text for reply in notices] == ["**回答**：一"]
