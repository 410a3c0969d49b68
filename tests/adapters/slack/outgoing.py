"""The sending half of the Slack channel against the fake, over real HTTP, driven as the core drives it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.slack.api import Api
from adapters.slack.pacing import Pacer
from adapters.slack.replies import Forms, render
from adapters.slack.sending import Sender
from adapters.slack.standing import FixedToken
from adapters.slack.timing import Timing
from adapters.slack.wire import Transport
from bot.clock import SystemClock
from bot.errors import NotSent, PerhapsSent, SendError
from bot.messages import ConversationRef, Outcome, Reply, ReplyAction
from tests.fakes.slack_api import TEAM, FakeSlack

QUICK = Timing(answer=1.0, flush=0.02, update=0.05, refused_pause=0.2, patience=3.0)
TURNS = itertools.count(1)


def reply_of(text: str, **about: object) -> Reply:
    turn = f"turn-{next(TURNS)}"
    made = Reply(outcome=Outcome.ANSWERED, text=text, language="zh", turn_id=turn, actions=(ReplyAction.FEEDBACK,))
    return replace(made, **about)  # type: ignore[arg-type]


def growing(text: str, steps: int = 8) -> list[str]:
    return [text[: len(text) * step // steps] for step in range(1, steps + 1)]


class Outgoing:
    """One process's sending half."""

    def __init__(self, fake: FakeSlack, timing: Timing = QUICK) -> None:
        self.fake = fake
        self.timing = timing
        clock = SystemClock()
        self.transport = Transport(url=fake.api_url, timing=timing)
        self.tokens = FixedToken(fake.bot_token, transport=self.transport, clock=clock, timing=timing)
        self.api = Api(url=fake.api_url, tokens=self.tokens, timing=timing, transport=self.transport)
        self.sender = Sender(self.api, Pacer(clock, asyncio.sleep), clock=clock, timing=timing)
        self._deliveries = itertools.count(1)

    def asked(self, channel: str, text: str = "怎么退货？", *, user: str = "U5", known: bool = True) -> ConversationRef:
        """Somebody asks; the place the answer goes to."""
        said = self.fake.people.says(channel, text, user=user)
        conversation = ConversationRef(platform="slack", account="", channel=channel, thread=said["thread"])
        if known:
            self.sender.remember(conversation, team=TEAM, user=user, language="zh")
        return conversation

    async def show(self, conversation: ConversationRef, snapshots: Sequence[str], turn: str) -> str | None:
        """As `bot.turns.showing` does it: what fails is dropped."""
        shown: str | None = None
        for text in ["", *snapshots]:
            try:
                shown = await self.sender.show(conversation, text, shown=shown, turn_id=turn)
            except SendError:
                continue
            await asyncio.sleep(self.timing.flush)
        return shown

    async def deliver(
        self, conversation: ConversationRef, reply: Reply, shown: str | None = None, *, delivery: int | None = None
    ) -> list[str]:
        """As `bot.turns.delivery` does it: what may have failed is repeated."""
        delivery = delivery or next(self._deliveries)
        sent = []
        for number, part in enumerate(render(reply)):
            assert isinstance(part.payload, Forms)
            sent.append(
                await self.repeated(conversation, part.payload, shown if number == 0 else None, delivery, reply)
            )
        return sent

    async def repeated(
        self, conversation: ConversationRef, forms: Forms, replaces: str | None, delivery: int, reply: Reply
    ) -> str:
        for _ in range(20):
            try:
                await self.sender.wait_for_slot(conversation)
                return await self.sender.send(conversation, forms, replaces=replaces, delivery_id=delivery, reply=reply)
            except NotSent as error:
                await asyncio.sleep(min(error.retry_after or 0.05, 1.0))
            except PerhapsSent:
                await asyncio.sleep(0.05)
        raise AssertionError("it never arrived")

    async def answer(self, conversation: ConversationRef, text: str, *, steps: int = 8, **about: object) -> list[str]:
        """A whole turn."""
        reply = reply_of(text, **about)
        shown = await self.show(conversation, growing(text, steps), reply.turn_id)
        return await self.deliver(conversation, reply, shown)

    async def close(self) -> None:
        await self.sender.close()
        await self.api.close()


@asynccontextmanager
async def outgoing(*, timing: Timing = QUICK, rate_limits: bool = False) -> AsyncIterator[Outgoing]:
    async with FakeSlack(rate_limits=rate_limits) as fake:
        made = Outgoing(fake, timing)
        try:
            yield made
        finally:
            await made.close()
