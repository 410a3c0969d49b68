"""Everything that goes out over the long connection: answers while they grow, replies for good, welcomes, cards."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from adapters.wecom.bot.keeper import late, left_out
from adapters.wecom.bot.lines import LAPSED
from adapters.wecom.bot.parsing import Pressed, Said
from adapters.wecom.bot.phrases import ANSWERED_ABOVE, WITH_PERSON, language_of
from adapters.wecom.bot.replies import WELCOME, Forms, addressed, card_done, card_of, snapshot
from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.sockets import Sockets
from adapters.wecom.bot.streams import Ending, Stream, Streams, is_over, is_too_much
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.failures import as_send_error
from adapters.wecom.pacing import MINUTE, Pacer, Rate
from adapters.wecom.wire import NoAnswer, NotReached, Refused, WeComError
from bot.errors import NotSent, SendError, StoreUnavailable, Undeliverable
from bot.messages import Author, ConversationRef, Receipt, ReceiptStatus, Reply
from bot.ports import Clock, Sleep
from bot.telemetry import get_logger

SEND, WELCOMES, UPDATE = "aibot_send_msg", "aibot_respond_welcome_msg", "aibot_respond_update_msg"
ONE, MANY = 1, 2
"""`chat_type`: a colleague, a group."""
REFRESHES = (Rate(limit=24, window=MINUTE),)
"""Of all growing answers of a conversation. Whether WeCom counts them among its 30 messages nobody has written down."""
_INVALID_CHAT, _INVALID_PARAMETER = 93006, 40058
_NO_SUCH_CHAT = frozenset({_INVALID_CHAT, _INVALID_PARAMETER})
_REMEMBERED = 20_000
_BLIND_REPEATS = 1
"""A message of its own whose fate is unknown is repeated so often; then it is the operators'."""

log = get_logger(__name__)
_Name = TypeVar("_Name")
_Value = TypeVar("_Value")
_Key: TypeAlias = tuple[int, int]
"""A delivery, and which message of it."""


class Speaker:
    """As the sending half of `bot.ports.Channel`. Raises what `bot.errors` sorts and nothing else.

    A reply stands in the stream of the first message that it answers, so that writing it again changes nothing; it is a
    message of its own where that stream has ended, or where there is none.
    """

    def __init__(
        self,
        *,
        sockets: Sockets,
        streams: Streams,
        rows: Rows,
        pacer: Pacer,
        clock: Clock,
        sleep: Sleep,
        timing: BotTiming,
    ) -> None:
        self._sockets = sockets
        self._streams = streams
        self._rows = rows
        self._pacer = pacer
        self._refreshes = Pacer(clock, sleep, rates=REFRESHES)
        self._clock = clock
        self._timing = timing
        self._of_turn: OrderedDict[str, Stream | None] = OrderedDict()
        self._doubtful: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._kinds: OrderedDict[str, int] = OrderedDict()
        self._worded: OrderedDict[int, None] = OrderedDict()
        """Deliveries whose words this process has said: no other one has sent their card."""

    # -- What the receiving side tells --

    def asked(self, said: Said, receipt: Receipt, request: str) -> Stream | None:
        """A message was stored. Returns the stream that begins for it, to be written down; nothing is waited for,
        since the message's turn may begin any moment."""
        message = said.message
        _remember(self._kinds, message.conversation.channel, ONE if message.direct else MANY)
        if receipt.inbound_id is None:
            return None
        if receipt.status is ReceiptStatus.DUPLICATE:
            known = self._streams.of_message(receipt.inbound_id)
            if known is not None and known.state == "open":
                known.request, known.unreachable = request, False
            return None
        if receipt.status not in (ReceiptStatus.ACCEPTED, ReceiptStatus.SHED):
            return None
        language = language_of(message.text)
        ending, due = late(language), self._timing.stream_ends
        if receipt.status is ReceiptStatus.SHED:
            ending, due = left_out(language), self._timing.shed_ends
        return self._streams.begin(message.conversation, receipt.inbound_id, request, language, ending, due)

    async def write_down(self, streams: Sequence[Stream]) -> None:
        """Together: that is one commit."""
        await asyncio.gather(*map(self._streams.write_down, streams))

    async def welcome(self, request: str) -> None:
        """Somebody has opened the chat; after five seconds it is too late."""
        await self._said_soon(WELCOMES, {"msgtype": "text", "text": {"content": WELCOME}}, request)

    async def pressed(self, pressed: Pressed, request: str) -> None:
        """A card's button was heard: within five seconds the card may say so."""
        card = card_done(pressed.task_id, pressed.number)
        await self._said_soon(UPDATE, {"response_type": "update_template_card", "template_card": card}, request)

    async def _said_soon(self, cmd: str, body: Mapping[str, Any], request: str) -> None:
        try:
            await self._sockets.request(cmd, body, req_id=request)
        except WeComError as error:
            log.info("wecom.too_late_to_say", reason=str(error))

    def silent(self, answers: tuple[int, ...]) -> None:
        """No reply will come to these messages: a person has the conversation."""
        for inbound in answers:
            if (stream := self._streams.of_message(inbound)) is not None:
                stream.ending = Ending(state="ended", words=WITH_PERSON[stream.language])
                stream.due = self._clock.monotonic()

    # -- Showing --

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """As `bot.ports.Channel.show`. A state that would have to wait is left out: the next one says more."""
        stream = await self._stream_of(conversation, turn_id, shown)
        if stream is None:
            return None
        stream.turn = turn_id
        words = snapshot(text) if text else ""
        if words and stream.state == "open" and not stream.unreachable and not self._streams.is_crowded(stream):
            await self._shown(stream, words)
        return stream.id

    async def _shown(self, stream: Stream, words: str) -> None:
        chat = stream.conversation.channel
        if not self._refreshes.take_spare(chat, spare=0):
            return
        if not stream.begun:
            if not stream.paid and not self._pacer.take_spare(chat):
                return
            stream.paid = True
        try:
            await self._streams.show(stream, words)
        except WeComError as error:
            if is_too_much(error):
                self._refreshes.park(chat, self._timing.refresh_pause)  # the latest is shown when it is over
            elif not (isinstance(error, Refused) and is_over(error)):
                raise self._as_send_error(error, chat) from None

    async def _stream_of(self, conversation: ConversationRef, turn: str, shown: str | None) -> Stream | None:
        """Of the first message that the turn answers: the oldest one there that is open."""
        if turn not in self._of_turn:
            found = self._streams.get(shown) if shown else None
            found = found or next(self._streams.open_in(conversation), None) or await self._left(conversation)
            _remember(self._of_turn, turn, found)
        return self._of_turn[turn]

    async def _left(self, conversation: ConversationRef) -> Stream | None:
        try:
            answer = await self._rows.oldest(conversation)
        except StoreUnavailable:
            return None
        return self._streams.take_up(answer, late(answer.language)) if answer is not None else None

    # -- Sending --

    def take_slot(self, conversation: ConversationRef) -> bool:
        """As `bot.ports.Channel.take_slot`."""
        return self._spends(conversation) or self._pacer.take(conversation.channel)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """As `bot.ports.Channel.wait_for_slot`."""
        if not self._spends(conversation):
            await self._pacer.wait(conversation.channel)

    def _spends(self, conversation: ConversationRef) -> bool:
        """Whether the reply's place was taken when its stream began."""
        for stream in self._streams.open_in(conversation):
            if stream.paid:
                stream.paid = False
                return True
        return False

    async def send(
        self, conversation: ConversationRef, forms: Forms, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        """As `bot.ports.Channel.send`."""
        key = (delivery_id, forms.number)
        try:
            if forms.card:
                return await self._sent_card(conversation, delivery_id, reply, key)
            stream = await self._stream_for(replaces, reply) if forms.number == 0 else None
            if stream is None:
                said = await self._sent_apart(conversation, forms.markdown, key)
                _remember(self._worded, delivery_id, None)
                return said
            self._merge(stream, reply)
            if not await self._streams.finish(stream, forms.markdown, reply.turn_id):
                if stream.state != "elsewhere" or stream.turn != reply.turn_id:
                    await self._moved(stream, conversation, forms.markdown, key)
                self._streams.settle(stream, "elsewhere", reply.turn_id)
        except WeComError as error:
            raise self._as_send_error(error, conversation.channel) from None
        _remember(self._worded, delivery_id, None)
        await self._streams.close_row(stream)
        return stream.id

    async def _stream_for(self, replaces: str | None, reply: Reply) -> Stream | None:
        """Where the reply belongs: into what was shown of it, else under the first message that it answers."""
        if replaces is not None and (stream := self._streams.get(replaces)) is not None:
            return stream
        if reply.author is not Author.BOT or not (replaces or reply.answers):
            return None
        if (stream := self._streams.of_message(min(reply.answers, default=-1))) is not None:
            return stream
        try:
            answer = await self._rows.get(replaces) if replaces else None
            if answer is None and reply.answers:
                answer = next(iter(await self._rows.of_messages(reply.answers)), None)
        except StoreUnavailable as error:
            raise NotSent(f"where it belongs can not be looked up ({error})", retry_after=1.0) from None
        return self._streams.take_up(answer, late(answer.language)) if answer is not None else None

    def _merge(self, stream: Stream, reply: Reply) -> None:
        """The other messages that the reply answers say where it is."""
        for inbound in reply.answers:
            other = self._streams.of_message(inbound)
            if other is not None and other is not stream and other.state == "open":
                other.ending = Ending(state="ended", words=ANSWERED_ABOVE[reply.language], turn=reply.turn_id)
                other.due = self._clock.monotonic()

    async def _sent_card(self, conversation: ConversationRef, delivery_id: int, reply: Reply, key: _Key) -> str:
        card = card_of(reply, delivery_id)
        if card is None:
            raise Undeliverable("the reply has no card any more")
        try:
            return await self._pushed(conversation, {"msgtype": "template_card", "template_card": card}, key)
        except Refused as refused:
            # No card's name is taken twice: the first one has arrived, from here or from a process that was killed.
            by_another = delivery_id not in self._worded and refused.errcode == _INVALID_PARAMETER
            if key in self._doubtful or by_another:
                return str(card["task_id"])
            raise

    async def _moved(self, stream: Stream, conversation: ConversationRef, words: str, key: _Key) -> None:
        """The reply in a message of its own, as its stream takes it no more. It may stand in the stream already, and a
        process that is no more may have said it: it stands there twice at most, and then it is the operators'."""
        if stream.restored or stream.last_words is not None:
            self._doubtful.setdefault(key, 1)
        if stream.apart:
            raise Undeliverable("a process that was killed may have said it: nobody can tell whether it has arrived")
        await self._mark(stream, perhaps=True)
        try:
            await self._sent_apart(conversation, words, key, feedback=stream.id)
        except (Refused, NotReached):
            await self._mark(stream, perhaps=False)
            raise

    async def _mark(self, stream: Stream, *, perhaps: bool) -> None:
        try:
            await self._rows.said_apart(stream.id, perhaps)
        except StoreUnavailable as error:
            raise NotSent(f"it can not be written down ({error})", retry_after=1.0) from None

    async def _sent_apart(self, conversation: ConversationRef, words: str, key: _Key, *, feedback: str = "") -> str:
        content: dict[str, Any] = {"content": addressed(conversation, words)}
        if feedback:
            content["feedback"] = {"id": feedback}
        return await self._pushed(conversation, {"msgtype": "markdown", "markdown": content}, key)

    async def _pushed(self, conversation: ConversationRef, body: Mapping[str, Any], key: _Key) -> str:
        """A message of its own. Nothing tells whether one that was not acknowledged has arrived."""
        if self._doubtful.get(key, 0) > _BLIND_REPEATS:
            raise Undeliverable("sent twice without an acknowledgement: nobody can tell whether it has arrived")
        chat = conversation.channel
        refusal = Refused(SEND, _INVALID_CHAT)
        for kind in self._kinds_of(conversation):
            try:
                await self._sockets.request(SEND, {"chatid": chat, "chat_type": kind, **body})
            except Refused as refused:
                if refused.errcode not in _NO_SUCH_CHAT or chat in self._kinds:
                    raise
                # One that says something else of the message than that its chat is none knows the chat.
                refusal = refused if refusal.errcode == _INVALID_CHAT else refusal
            except NoAnswer:
                _remember(self._doubtful, key, self._doubtful.get(key, 0) + 1)
                raise
            else:
                _remember(self._kinds, chat, kind)
                return f"push:{chat}:{key[0]}.{key[1]}"[:200]
        raise refusal

    def _kinds_of(self, conversation: ConversationRef) -> tuple[int, int]:
        """A colleague or a group, the likelier first: an operator's address does not say."""
        chat = conversation.channel
        many = bool(conversation.thread) or self._kinds.get(chat, MANY if chat.startswith("wr") else ONE) == MANY
        return (MANY, ONE) if many else (ONE, MANY)

    def _as_send_error(self, error: WeComError, chat: str) -> SendError:
        if is_too_much(error):
            self._pacer.park(chat, self._timing.frequency_pause)
            self._refreshes.park(chat, self._timing.refresh_pause)
            return NotSent(f"WeCom asks for patience ({error})", retry_after=self._timing.frequency_pause)
        if isinstance(error, Refused) and error.errcode == LAPSED:
            return NotSent(f"the connection is made anew ({error})", retry_after=self._timing.line_wait)
        if isinstance(error, NotReached):
            return NotSent(f"WeCom can not be reached ({error})", retry_after=self._timing.line_wait)
        return as_send_error(error, self._timing)


def _remember(memory: OrderedDict[_Name, _Value], key: _Name, value: _Value) -> None:
    """Keeps the newest."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
