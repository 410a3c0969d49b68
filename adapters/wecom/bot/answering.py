"""The sending half where WeCom calls us: what is to be said is written down, and WeCom comes for it.

It asks for each answer about once a second, from whichever replica, until it is told that it was the last time or six
minutes are over. So nothing about an answer is kept in memory; the table says it all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from adapters.wecom.bot.parsing import Pressed
from adapters.wecom.bot.phrases import ANSWERED_ABOVE, CONTINUED, GONE, LATE, TOO_MUCH, WITH_PERSON, WORKING
from adapters.wecom.bot.posting import Poster
from adapters.wecom.bot.replies import WELCOME, Forms, addressed, card_done, card_of, ending, snapshot
from adapters.wecom.bot.rows import Answer, Rows
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.pacing import Pacer
from bot.errors import NotSent, StoreUnavailable
from bot.messages import Author, ConversationRef, Reply
from bot.ports import Clock
from bot.telemetry import get_logger

_ERRANDS = 1000

log = get_logger(__name__)


class Answerer:
    """As the sending half of `bot.ports.Channel`, and what the callbacks are answered."""

    def __init__(self, *, rows: Rows, poster: Poster, pacer: Pacer, clock: Clock, timing: BotTiming) -> None:
        self._rows = rows
        self._poster = poster
        self._pacer = pacer
        self._clock = clock
        self._timing = timing
        self._fetched: dict[str, asyncio.Event] = {}
        self._missing: dict[int, float] = {}
        """Since when a delivery's message is looked for."""
        self._silenced: asyncio.Queue[tuple[int, ...]] = asyncio.Queue(_ERRANDS)

    # -- What callbacks are answered --

    def begun(self, answer: Answer) -> Mapping[str, Any]:
        """The answer as it stands, for the call that its message came with. It does not end here, whatever it is: if
        WeCom does not hear it at the third time it comes no more, and nobody would know. Coming for the end, it tells
        us that it has heard."""
        words = _working(answer) if answer.state == "open" else GONE[answer.language]
        return _stream(answer, answer.text or words, finish=False)

    async def _state(self, answer: Answer) -> Mapping[str, Any]:
        """The answer as it stands, for WeCom."""
        if answer.state == "open" and self._clock.now() < answer.ends_at:
            return _stream(answer, answer.text or _working(answer), finish=False)
        if answer.state == "open":
            answer = await self._ended_by_itself(answer)
        if not answer.fetched:
            await self._rows.fetched(answer.id)
        if (waiting := self._fetched.get(answer.id)) is not None:
            waiting.set()
        return _stream(answer, answer.text or GONE[answer.language], finish=True)

    async def refreshed(self, answer_id: str) -> Mapping[str, Any]:
        """How far the answer is. One that we do not know has ended: else WeCom would ask for six minutes.

        :raises StoreUnavailable: it can not be looked up now.
        """
        answer = await self._rows.get(answer_id)
        if answer is None:
            return {"msgtype": "stream", "stream": {"id": answer_id, "finish": True, "content": GONE["zh"]}}
        return await self._state(answer)

    def welcome(self) -> Mapping[str, Any]:
        return {"msgtype": "text", "text": {"content": WELCOME}}

    def pressed(self, pressed: Pressed) -> Mapping[str, Any]:
        card = card_done(pressed.task_id, pressed.number)
        return {"response_type": "update_template_card", "template_card": card}

    async def _ended_by_itself(self, answer: Answer) -> Answer:
        words = TOO_MUCH[answer.language] if answer.shed else ending(answer.text, LATE[answer.language])
        await self._rows.finish(answer.id, "ended" if answer.shed else "late", text=words)
        return await self._rows.get(answer.id) or answer

    # -- Showing --

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """As `bot.ports.Channel.show`."""
        try:
            if shown is None:
                # Of a turn that is running, the first message's answer is the oldest that is open there.
                oldest = await self._rows.oldest(conversation)
                shown = oldest.id if oldest is not None else None
            if shown is not None and text:
                await self._rows.show(shown, addressed(conversation, snapshot(text)))
        except StoreUnavailable as error:
            raise NotSent(str(error)) from None
        return shown

    # -- Sending --

    def take_slot(self, conversation: ConversationRef) -> bool:
        """As `bot.ports.Channel.take_slot`."""
        return self._pacer.take(conversation.channel)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """As `bot.ports.Channel.wait_for_slot`."""
        await self._pacer.wait(conversation.channel)

    async def send(
        self, conversation: ConversationRef, forms: Forms, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        """As `bot.ports.Channel.send`: returns when WeCom has come for it, or has been given it elsewhere."""
        use = f"{delivery_id}.{forms.number}.{reply.turn_id}"[:80]
        card = card_of(reply, delivery_id) if forms.card else None
        words = addressed(conversation, forms.markdown)
        try:
            answer = await self._answer_for(replaces, reply, delivery_id) if forms.number == 0 else None
            if answer is not None:
                return await self._handed_over(answer, conversation, words, card, reply, use)
            await self._post(conversation, words, card, use)
        except StoreUnavailable as error:
            raise NotSent(f"it can not be written down ({error})", retry_after=1.0) from None
        return use

    async def _answer_for(self, replaces: str | None, reply: Reply, delivery_id: int) -> Answer | None:
        """Where it belongs; None where no message waits for it.

        :raises NotSent: a message does, and it is not written down how; WeCom's next attempt may tell.
        """
        if replaces is not None and (answer := await self._rows.get(replaces)) is not None:
            return answer
        if reply.author is not Author.BOT or not reply.answers:
            return None
        if found := await self._rows.of_messages(reply.answers):
            self._missing.pop(delivery_id, None)
            return found[0]
        now = self._clock.monotonic()
        if len(self._missing) > _ERRANDS:
            self._missing.clear()
        if now - self._missing.setdefault(delivery_id, now) < self._timing.row_wait:
            raise NotSent("it is not known yet where it belongs", retry_after=1.0)
        return None

    async def _handed_over(
        self,
        answer: Answer,
        conversation: ConversationRef,
        words: str,
        card: Mapping[str, Any] | None,
        reply: Reply,
        use: str,
    ) -> str:
        await self._rows.finish(answer.id, "answered", text=words, card=card, turn=reply.turn_id)
        await self._merge(answer, reply)
        now = await self._rows.get(answer.id)
        if now is None:
            await self._post(conversation, words, card, use)
            return use
        if now.turn == reply.turn_id and now.state == "elsewhere":
            return now.id
        if now.turn == reply.turn_id and now.state == "answered":
            if now.fetched or await self._is_fetched(now.id):
                return now.id
            if self._comes_still(now) and not await self._has_code(conversation, use):
                raise NotSent("WeCom has not come for it yet", retry_after=2.0)
        await self._post(conversation, words, card, use)
        await self._rows.moved(now.id, text=CONTINUED[now.language], turn=reply.turn_id)
        return now.id

    async def _has_code(self, conversation: ConversationRef, use: str) -> bool:
        return await self._rows.has_code(conversation, use, seconds=self._timing.response_life)

    def _comes_still(self, answer: Answer) -> bool:
        return (self._clock.now() - answer.opened_at).total_seconds() < self._timing.stream_life

    async def _is_fetched(self, answer_id: str) -> bool:
        """Waits until WeCom has come for the end of it, here or at another replica. False: not in time."""
        came = self._fetched.setdefault(answer_id, asyncio.Event())
        try:
            async with asyncio.timeout(self._timing.fetch):
                while True:
                    try:
                        async with asyncio.timeout(self._timing.fetch_look):
                            await came.wait()
                        return True
                    except TimeoutError:
                        answer = await self._rows.get(answer_id)
                        if answer is None or answer.fetched:
                            return True
        except TimeoutError:
            return False
        finally:
            self._fetched.pop(answer_id, None)

    async def _merge(self, answer: Answer, reply: Reply) -> None:
        """The other messages that the reply answers say where it is."""
        if len(reply.answers) < 2:
            return
        for other in await self._rows.of_messages(reply.answers):
            if other.id != answer.id:
                words = addressed(other.conversation, ANSWERED_ABOVE[reply.language])
                await self._rows.finish(other.id, "ended", text=words, turn=reply.turn_id)

    async def _post(self, conversation: ConversationRef, words: str, card: Mapping[str, Any] | None, use: str) -> None:
        """A message of its own. WeCom takes one; the card is left out where there are words."""
        if words:
            body: Mapping[str, Any] = {"msgtype": "markdown", "markdown": {"content": words}}
        else:
            body = {"msgtype": "template_card", "template_card": card}
        await self._poster.post(conversation, body, use)

    # -- Silence --

    def silent(self, answers: tuple[int, ...]) -> None:
        """No reply will come to these messages: a person has the conversation."""
        try:
            self._silenced.put_nowait(answers)
        except asyncio.QueueFull:
            log.warning("wecom.silence_left_to_time")

    async def run(self) -> None:
        """Ends the answers of messages that get none, until cancelled."""
        while True:
            answers = await self._silenced.get()
            try:
                for answer in await self._rows.of_messages(answers):
                    words = addressed(answer.conversation, WITH_PERSON[answer.language])
                    await self._rows.finish(answer.id, "ended", text=words)
            except StoreUnavailable as error:
                log.warning("wecom.silence_left_to_time", reason=str(error))


def _working(answer: Answer) -> str:
    """Alone with the bot, WeCom shows by itself that somebody is at work."""
    return WORKING[answer.language] if answer.conversation.thread else ""


def _stream(answer: Answer, words: str, *, finish: bool) -> Mapping[str, Any]:
    stream = {"id": answer.id, "finish": finish, "content": words, "feedback": {"id": answer.id}}
    if finish and answer.card:
        return {"msgtype": "stream_with_template_card", "stream": stream, "template_card": answer.card}
    return {"msgtype": "stream", "stream": stream}


def as_bytes(reply: Mapping[str, Any]) -> bytes:
    return json.dumps(reply, ensure_ascii=False).encode()
