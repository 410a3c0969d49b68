"""Answers that grow over the long connection: one stream a message, each state of it the whole text so far.

Everything that WeCom asks of a stream is kept here: one frame at a time, a second apart, the latest text only, an end
before WeCom sets one. What is written down of it (`rows`) is for the next process; this one goes by what it knows.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from adapters.wecom.bot.replies import addressed
from adapters.wecom.bot.rows import Answer, Rows, State, new_id
from adapters.wecom.bot.sockets import Sockets
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.failures import BUSY, TOO_OFTEN
from adapters.wecom.wire import NoAnswer, NotReached, Refused
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Language
from bot.ports import Clock, Sleep
from bot.telemetry import get_logger

RESPOND = "aibot_respond_msg"
_REMEMBERED = 20_000
_OVER = frozenset({846604, 846608})
"""The stream takes nothing more: its time is over, or it is finished."""
_NO_SUCH_CALL = 846605
"""Its message can not be answered any more, or not over this connection."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a stream ends that gets no reply (any more)."""

    state: State
    words: str
    turn: str = ""
    shed: bool = False
    """Its message was too much: nobody works on it."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """The answer to one message, as this process knows it."""

    id: str
    conversation: ConversationRef
    inbound: int
    request: str = field(repr=False)
    language: Language
    born: float
    """On the monotonic clock."""
    state: State = "open"
    begun: bool = False
    """WeCom shows it, as far as we know."""
    paid: bool = False
    """Its place among the conversation's messages is taken, and its reply needs no other."""
    restored: bool = False
    """Another process has begun it, and may have ended it."""
    apart: bool = False
    """Another process has perhaps said its reply in a message of its own."""
    unreachable: bool = False
    """WeCom takes nothing more for it."""
    text: str = field(default="", repr=False)
    """What stands in it."""
    last_words: str | None = field(default=None, repr=False)
    """With what it may have ended: the frame went out, and no acknowledgement came."""
    sent_at: float = float("-inf")
    turn: str = ""
    due: float
    """When `ending` comes true."""
    ending: Ending
    tries: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Streams:
    """The streams of one bot."""

    def __init__(self, sockets: Sockets, rows: Rows, *, clock: Clock, sleep: Sleep, timing: BotTiming) -> None:
        self._sockets = sockets
        self._rows = rows
        self._clock = clock
        self._sleep = sleep
        self._timing = timing
        self._by_id: OrderedDict[str, Stream] = OrderedDict()
        self._by_message: dict[int, Stream] = {}
        self._open: dict[ConversationRef, dict[int, Stream]] = {}

    # -- Which --

    def begin(
        self, conversation: ConversationRef, inbound: int, request: str, language: Language, ending: Ending, due: float
    ) -> Stream:
        """The stream of a message that was just stored; in memory at once, since its turn may begin any moment."""
        now = self._clock.monotonic()
        return self._remember(
            Stream(
                id=new_id(),
                conversation=conversation,
                inbound=inbound,
                request=request,
                language=language,
                born=now,
                due=now + due,
                ending=ending,
            )
        )

    async def write_down(self, stream: Stream) -> None:
        """For the next process. Without it, an answer goes as a message of its own."""
        seconds = max(stream.due - self._clock.monotonic(), 0.0)
        try:
            await self._rows.begin(
                stream.conversation,
                stream.inbound,
                language=stream.language,
                request=stream.request,
                seconds=seconds,
                state=stream.state,
                turn=stream.turn,
                shed=stream.ending.shed,
                answer_id=stream.id,
            )
        except StoreUnavailable as error:
            log.warning("wecom.stream_not_written_down", reason=str(error))

    def take_up(self, answer: Answer, ending: Ending) -> Stream:
        """What an earlier process has left, or another one has begun."""
        if (known := self._by_id.get(answer.id)) is not None:
            return known
        now, today = self._clock.monotonic(), self._clock.now()
        return self._remember(
            Stream(
                id=answer.id,
                conversation=answer.conversation,
                inbound=answer.inbound,
                request=answer.request,
                language=answer.language,
                born=now - max((today - answer.opened_at).total_seconds(), 0.0),
                state=answer.state,
                begun=True,
                restored=True,
                apart=answer.apart,
                paid=answer.state == "open",
                turn=answer.turn,
                due=now + max((answer.ends_at - today).total_seconds(), 0.0),
                ending=ending,
            )
        )

    def of_message(self, inbound: int) -> Stream | None:
        return self._by_message.get(inbound)

    def turn_of(self, stream_id: str) -> tuple[str, ConversationRef] | None:
        """Whose reply it is, as far as this process knows: sooner than it is written down."""
        stream = self._by_id.get(stream_id)
        return (stream.turn, stream.conversation) if stream is not None and stream.turn else None

    def get(self, stream_id: str) -> Stream | None:
        return self._by_id.get(stream_id)

    def open_in(self, conversation: ConversationRef) -> Iterator[Stream]:
        """Those that somebody works on there, the first message's first."""
        found = self._open.get(conversation, {})
        return iter([found[inbound] for inbound in sorted(found) if not found[inbound].ending.shed])

    @property
    def growing(self) -> list[Stream]:
        return [stream for found in self._open.values() for stream in found.values()]

    def _remember(self, stream: Stream) -> Stream:
        self._by_id[stream.id] = stream
        self._by_message[stream.inbound] = stream
        if stream.state == "open":
            self._open.setdefault(stream.conversation, {})[stream.inbound] = stream
        if len(self._by_id) > _REMEMBERED:
            _, oldest = self._by_id.popitem(last=False)
            self._by_message.pop(oldest.inbound, None)
            self._close(oldest)
        return stream

    def _close(self, stream: Stream) -> None:
        found = self._open.get(stream.conversation, {})
        found.pop(stream.inbound, None)
        if not found:
            self._open.pop(stream.conversation, None)

    # -- Growing --

    def is_crowded(self, stream: Stream) -> bool:
        """Whether a frame is under way, or one left a moment ago."""
        return stream.lock.locked() or self._too_soon(stream) > 0

    async def show(self, stream: Stream, text: str) -> None:
        """The answer so far. Nothing where it has ended.

        :raises Refused, NotReached, NoAnswer: it was not, or perhaps not, shown.
        """
        async with stream.lock:
            if stream.state == "open" and not stream.unreachable:
                await self._frame(stream, text, finish=False)

    async def finish(self, stream: Stream, text: str, turn: str) -> bool:
        """Whether its reply stands in it now; False: it takes none, and the reply has to go another way.

        Repeating it with the same text is harmless.

        :raises Refused, NotReached, NoAnswer: as `show`.
        """
        async with stream.lock:
            if stream.state == "open" and not stream.unreachable and await self._ended(stream, text):
                self._settle(stream, "answered", turn)
        return stream.state == "answered" and stream.turn == turn

    async def end(self, stream: Stream, ending: Ending) -> None:
        """Ends it without a reply. Nothing where it has ended, and nothing is shown where nothing was yet.

        :raises Refused, NotReached, NoAnswer: as `show`.
        """
        async with stream.lock:
            if stream.state != "open":
                return
            if stream.begun and not stream.unreachable:
                await self._ended(stream, ending.words)
            self._settle(stream, ending.state, ending.turn)

    def settle(self, stream: Stream, state: State, turn: str) -> None:
        """Its reply went another way."""
        self._settle(stream, state, turn)

    async def close_row(self, stream: Stream) -> None:
        """Writes down how it ended; best effort, for the next process would only say it again."""
        try:
            if stream.state == "elsewhere":
                await self._rows.moved(stream.id, text="", turn=stream.turn)
            else:
                await self._rows.finish(stream.id, stream.state, turn=stream.turn)
        except StoreUnavailable as error:
            log.warning("wecom.stream_not_written_down", reason=str(error))

    # -- Details --

    async def _ended(self, stream: Stream, text: str) -> bool:
        """Whether it ends with these words; False where it had ended before, or can not be reached."""
        await self._spaced(stream)
        doubtful, stream.last_words = stream.last_words, text
        try:
            await self._frame(stream, text, finish=True)
        except Refused as refused:
            if not stream.unreachable:
                # Whoever says that he is too busy may have done it all the same.
                stream.last_words = text if refused.errcode == BUSY else doubtful
                raise
            stream.last_words = doubtful
            # If the frame that was not acknowledged was the end, then this is what WeCom says to a second one; and a
            # stream that is over before its time was ended by us, in a process that could not write it down any more.
            in_time = self._clock.monotonic() < stream.due
            return refused.errcode in _OVER and (doubtful == text or (stream.restored and in_time))
        except NotReached:
            stream.last_words = doubtful
            raise
        return True

    async def _spaced(self, stream: Stream) -> None:
        if stream.restored:
            await self._sockets.opened(RESPOND)
        if (wait := self._too_soon(stream)) > 0:
            await self._sleep(wait)

    def _too_soon(self, stream: Stream) -> float:
        """For how many seconds a frame would still be too near to the one before it. When a process that is no more
        wrote the last one of its own nobody knows, but it was before our connection took the place of that process's.
        """
        last = max(stream.sent_at, self._sockets.opened_at) if stream.restored else stream.sent_at
        return last + self._timing.apart - self._clock.monotonic()

    async def _frame(self, stream: Stream, text: str, *, finish: bool) -> None:
        body = {
            "msgtype": "stream",
            "stream": {
                "id": stream.id,
                "finish": finish,
                "content": addressed(stream.conversation, text),
                "feedback": {"id": stream.id},
            },
        }
        begun, stream.begun = stream.begun, True  # until we know better: we may be cancelled, or get no answer
        try:
            await self._sockets.request(RESPOND, body, req_id=stream.request)
        except NoAnswer:
            raise
        except NotReached:
            stream.begun = begun
            raise
        except Refused as refused:
            if not (finish and refused.errcode == BUSY):  # that one may have been taken: see `_ended`
                stream.begun = begun
            stream.unreachable = stream.unreachable or is_over(refused)
            raise
        finally:
            stream.sent_at = self._clock.monotonic()
        stream.text = text

    def _settle(self, stream: Stream, state: State, turn: str) -> None:
        stream.state = state
        stream.turn = turn or stream.turn
        self._close(stream)


def is_over(refused: Refused) -> bool:
    """Nothing more can be written into this stream."""
    return refused.errcode in _OVER or refused.errcode == _NO_SUCH_CALL


def is_too_much(error: Exception) -> bool:
    """WeCom's rate for the conversation."""
    return isinstance(error, Refused) and error.errcode == TOO_OFTEN
