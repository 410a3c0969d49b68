"""Everything that goes out: an answer while it grows, and sending it for good."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TypeVar

from adapters.slack import failures
from adapters.slack.api import Api
from adapters.slack.calls import Calls
from adapters.slack.pacing import Pacer
from adapters.slack.posting import Poster
from adapters.slack.replies import Forms, words_only
from adapters.slack.status import Status
from adapters.slack.streams import POST, STOP, Asker, Stream, Streams
from adapters.slack.timing import Timing
from adapters.slack.traces import Found, Mark, Traces
from adapters.slack.wire import NoAnswer, Refused, SlackError
from bot.errors import SendError, Undeliverable
from bot.messages import Author, ConversationRef, Language, Outcome, Reply
from bot.ports import Clock
from bot.telemetry import get_logger

_REMEMBERED = 20_000
_BLIND_REPEATS = 1
"""How often a message of unknown fate is repeated where we may not look whether it has arrived."""

log = get_logger(__name__)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Sender:
    """As `bot.ports.Channel`. Raises what `bot.errors` sorts and nothing else.

    Repeating a delivery is harmless: before a message may be the second of its kind, the thread is looked through for
    the first. That is so after an answer that never came, and for what a conversation is sent first by this process
    (the one before may have died over it), unless this process has shown the very answer while it grew, or has heard
    the thread begin: a look costs one of some fifty calls a minute, and new threads are most of the work.
    """

    def __init__(self, api: Api, pacer: Pacer, *, clock: Clock, timing: Timing) -> None:
        self._timing = timing
        self._calls = Calls(api, pacer)
        self._traces = Traces(self._calls)
        self._streams = Streams(self._calls, self._traces, clock, timing)
        self._status = Status(self._calls, clock, timing)
        self._poster = Poster(self._calls)
        self._known: OrderedDict[ConversationRef, None] = OrderedDict()
        self._new: OrderedDict[ConversationRef, None] = OrderedDict()
        self._doubtful: OrderedDict[tuple[ConversationRef, Mark], int] = OrderedDict()
        self._arrived: OrderedDict[tuple[ConversationRef, Mark], str] = OrderedDict()

    # -- What the receiving side tells --

    def remember(
        self, conversation: ConversationRef, *, team: str, user: str, language: Language | None = None
    ) -> None:
        """Who asks there: streams are written for somebody. `team` is the person's own workspace (`user_team`)."""
        self._streams.remember(conversation, Asker(team=team, user=user, language=language))

    def began(self, conversation: ConversationRef) -> None:
        """This process was told the first word of this thread: no process before it can have answered there."""
        _remember(self._known, conversation, None)
        _remember(self._new, conversation, None)

    def stopped(self, account: str, channel: str, thread: str) -> None:
        """The person pressed Slack's Stop: the answer grows no further, and is not posted whole after all."""
        self._streams.stopped(account, channel, thread)

    def silent(self, conversation: ConversationRef) -> None:
        """The turn ended without a reply: no sign of work may stay."""
        self._streams.abandon(conversation)
        self._status.rest(conversation, said=False)

    # -- Showing --

    def show_interval(self, conversation: ConversationRef) -> float | None:
        return self._timing.flush if conversation.thread else None

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """As `bot.ports.Channel.show`. A snapshot that would have to wait is left out: the next one says more."""
        stream = self._streams.begin(conversation, turn_id)
        stream.looked = stream.looked or conversation in self._new
        if shown and not stream.ts:
            _take_up(stream, shown)
        try:
            if not stream.ts:
                await self._status.work(conversation, self._streams.language(conversation))
            if text:
                await self._streams.grow(stream, text)
        except SlackError as error:
            raise failures.as_send_error(error) from None
        return stream.ts or None

    # -- Sending --

    def take_slot(self, conversation: ConversationRef) -> bool:
        """As `bot.ports.Channel.take_slot`."""
        return self._calls.hold(conversation, self._method(conversation))

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """As `bot.ports.Channel.wait_for_slot`."""
        await self._calls.wait_and_hold(conversation, self._method(conversation))

    async def send(
        self, conversation: ConversationRef, forms: Forms, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        """As `bot.ports.Channel.send`; which message of the delivery it is, its forms say."""
        mark = Mark(delivery=delivery_id, number=forms.number, digest=forms.digest)
        if arrived := self._arrived.get((conversation, mark)):
            self._calls.release(conversation)
            return arrived  # it could not be written down that it had
        try:
            ts = await self._sent(conversation, forms, mark, replaces, reply)
        except SlackError as error:
            raise failures.as_send_error(error) from None
        finally:
            self._calls.release(conversation)
        _remember(self._known, conversation, None)
        _remember(self._arrived, (conversation, mark), ts)
        if reply.author is Author.BOT:
            self._status.rest(conversation, said=True)
        return ts

    async def close(self) -> None:
        """Ends what is under way."""
        await self._streams.close()
        await self._status.close()

    def _method(self, conversation: ConversationRef) -> str:
        return STOP if self._streams.is_open(conversation) else POST

    async def _sent(
        self, conversation: ConversationRef, forms: Forms, mark: Mark, replaces: str | None, reply: Reply
    ) -> str:
        stream = self._streams.of_turn(conversation, reply.turn_id) if forms.number == 0 and reply.turn_id else None
        if stream is None and replaces:
            stream = self._streams.begin(conversation, reply.turn_id or replaces)
        if stream is not None:
            await self._streams.quiet(stream)
            if replaces and not stream.ts:
                _take_up(stream, replaces)
            if stream.ts:
                if await self._finished(stream, forms, mark, reply):
                    self._streams.forget(stream)
                    return stream.ts
                stream.ts, stream.open = "", False  # it is gone
        ts = await self._posted(conversation, forms, mark, stream, reply)
        if stream is not None:
            self._streams.forget(stream)
        return ts

    # -- Into the message that grew --

    async def _finished(self, stream: Stream, forms: Forms, mark: Mark, reply: Reply) -> bool:
        """Whether the final words stand in it; False where it is gone."""
        if stream.open and stream.sure and forms.markdown.startswith(stream.sent):
            try:
                if await self._completed(stream, forms, mark):
                    return True
            except Refused as refused:
                if failures.is_about_everything(refused):
                    raise
                log.warning("slack.stream_end_refused", reason=refused.error)
        if stream.open:
            await self._streams.end(stream)
        if stream.stopped and reply.outcome is Outcome.ANSWERED and stream.sent:
            # Stop was pressed when the answer was complete already: what has been seen stays, and no more comes.
            forms = replace(words_only(f"{stream.sent.rstrip()}…"), extras=forms.extras)
        try:
            return await self._poster.rewrite(stream.conversation, stream.ts, forms, mark)
        except Refused as refused:
            if not failures.is_still_streaming(refused):
                raise
            await self._streams.end(stream)
            return await self._poster.rewrite(stream.conversation, stream.ts, forms, mark)

    async def _completed(self, stream: Stream, forms: Forms, mark: Mark) -> bool:
        """Whether the stream has ended with the rest; False where it had ended before.

        :raises Refused: the rest was not taken, and the stream is open.
        """
        rest = forms.markdown[len(stream.sent) :]
        stream.sure = False  # until we know better: we may be cancelled
        try:
            answer = await self._calls.paced(
                stream.conversation,
                STOP,
                channel=stream.conversation.channel,
                ts=stream.ts,
                chunks=[{"type": "markdown_text", "text": rest}] if rest else None,
                blocks=list(forms.extras) or None,
                metadata=mark.metadata,
                session_status=self._status.session_status(stream.conversation),
            )
            if answer.get("ts") != stream.ts:
                raise NoAnswer(f"{STOP}: an ok without a message")
        except NoAnswer:
            raise
        except Refused as refused:
            stream.sure = True
            if not failures.is_stream_ended(refused):
                raise
            stream.open, stream.stopped = False, stream.stopped or failures.is_stopped(refused)
            return False
        except (SlackError, SendError):
            stream.sure = True
            raise
        stream.open = False
        if self._status.session_status(stream.conversation):
            self._status.is_over(stream.conversation)
        return True

    # -- As a new message --

    async def _posted(
        self, conversation: ConversationRef, forms: Forms, mark: Mark, stream: Stream | None, reply: Reply
    ) -> str:
        key = (conversation, mark)
        if self._needs_a_look(key, stream):
            found = await self._looked(key)
            if found.arrived:
                return found.arrived
            self._streams.end_abandoned(conversation, found)
            if found.unfinished and forms.number == 0 and reply.author is Author.BOT and reply.turn_id:
                left = Stream(conversation=conversation, turn=reply.turn_id, ts=found.unfinished, sure=False, open=True)
                if await self._finished(left, forms, mark, reply):
                    return left.ts
        self._doubt(key)  # until we know better: we may be cancelled, or get no answer
        try:
            ts = await self._poster.post(conversation, forms, mark)
        except NoAnswer:
            raise
        except (SlackError, SendError):
            self._settle(key)
            raise
        self._doubtful.pop(key, None)
        return ts

    def _needs_a_look(self, key: tuple[ConversationRef, Mark], stream: Stream | None) -> bool:
        if key in self._doubtful:
            return True
        unknown = key[0] not in self._known
        # An answer that was worked on in this process is new; only its beginning can be another one's.
        return unknown if stream is None else stream.lost or (unknown and self._streams.may_be_left_over(stream))

    async def _looked(self, key: tuple[ConversationRef, Mark]) -> Found:
        """What stands there; nothing where we may not look.

        :raises SlackError, SendError: it has to be known, and is not to be known now.
        :raises Undeliverable: it was repeated once without looking, and its fate is unknown again.
        """
        if self._streams.is_settling():
            self._doubtful.setdefault(key, 0)  # for as long as nobody has looked
        try:
            found = await self._traces.look(*key)
        except (SlackError, SendError) as error:
            if key not in self._doubtful:
                return Found()  # it would have taken a process that died elsewhere, and just now
            if not isinstance(error, Refused) or not failures.is_forbidden(error):
                raise
            log.warning("slack.thread_can_not_be_read", reason=error.error)
        else:
            self._doubtful.pop(key, None)
            return found
        if self._doubtful[key] > _BLIND_REPEATS:
            raise Undeliverable("nobody can tell whether it has arrived: the thread can not be read")
        return Found()

    def _doubt(self, key: tuple[ConversationRef, Mark]) -> None:
        _remember(self._doubtful, key, self._doubtful.get(key, 0) + 1)

    def _settle(self, key: tuple[ConversationRef, Mark]) -> None:
        """This attempt has surely failed; one before it may still be of unknown fate."""
        self._doubtful[key] -= 1
        if self._doubtful[key] <= 0:
            del self._doubtful[key]


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Keeps the newest."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _take_up(stream: Stream, ts: str) -> None:
    """A message that an earlier process began: what stands in it is not known."""
    stream.ts, stream.open, stream.sure = ts, True, False
