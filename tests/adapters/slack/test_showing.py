"""The sender under the core's own writer of snapshots."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from bot.messages import ConversationRef, Turn
from bot.messages import Sender as Person
from bot.ports import Channel
from bot.turns.showing import Showing
from tests.adapters.slack.outgoing import QUICK, Outgoing, growing, outgoing, reply_of
from tests.adapters.slack.test_sending import TEXT
from tests.fakes.slack_api import Fault


class Half:
    """What `Showing` needs of a channel."""

    def __init__(self, out: Outgoing) -> None:
        self.show_interval = out.sender.show_interval
        self.show = out.sender.show

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False


@pytest.mark.parametrize("pace", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("slow", [0.0, 0.3], ids=["quick", "slow"])
async def test_however_the_writer_is_cut_off_one_message_stands_there(pace: float, slow: float) -> None:
    async with outgoing(timing=type(QUICK)(answer=1.0, flush=0.05)) as out:
        if slow:
            out.fake.faults.add(Fault(kind="slow", method="chat.*", seconds=slow, times=3))
        conversation = out.asked("C1")
        reply = reply_of(TEXT)
        turn = Turn(
            id=reply.turn_id,
            conversation=conversation,
            sender=Person(id="slack:U5"),
            messages=(),
            started_at=datetime.now(UTC),
        )
        showing = Showing(cast("Channel", cast("Any", Half(out))), turn, None)
        writer = asyncio.create_task(showing.run())
        for text in growing(TEXT, 12):
            showing.show(text)
            await asyncio.sleep(pace)
        await showing.close(writer)
        await asyncio.wait([writer])
        await out.deliver(conversation, reply, showing.shown)
        (message,) = out.fake.messages("C1")
        assert message.text.count(TEXT) == 1 and not message.streaming
        assert out.fake.session("C1", conversation.thread) in {"", "active"}


async def test_a_reader_of_unknown_language_is_told_in_both() -> None:
    async with outgoing() as out:
        out.fake.faults.add(Fault(kind="error", method="agents.sessions.setStatus", error="missing_scope"))
        conversation = out.asked("C1", known=False)
        await out.sender.show(conversation, "", shown=None, turn_id="t1")
        status = out.fake.status("C1", conversation.thread)
        assert "looking" in status and "正在" in status


async def test_twenty_calls_with_a_refused_token_ask_once_whether_it_works_again() -> None:
    async with outgoing() as out:
        out.tokens.revoked("", "token_revoked")
        await asyncio.sleep(QUICK.refused_pause)
        found = await asyncio.gather(*(out.api.call("", "auth.test") for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(one, dict) for one in found) == 1
        assert len(out.fake.calls("auth.test")) == 2  # the question, and the one call that was let through
        assert (await out.api.call("", "auth.test"))["ok"]
