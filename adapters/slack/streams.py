"""Answers while they grow: one message a turn, as a stream, or where there can be none as a post that is edited.

One call at a time is made for an answer, in a task of its own: who asked for it may be cancelled at any moment, and
then the next one still knows what stands in Slack. What is not known for sure is never added to; the final text is
then written over it, so it stands there once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from adapters.slack import failures
from adapters.slack.calls import Calls
from adapters.slack.growing import settled
from adapters.slack.replies import blocks_of, words_only
from adapters.slack.timing import Timing
from adapters.slack.traces import GROWING, Found, Traces
from adapters.slack.wire import NoAnswer, Refused, SlackError
from bot.errors import SendError
from bot.messages import ConversationRef, Language
from bot.ports import Clock
from bot.telemetry import get_logger

START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"
UPDATE, POST = "chat.update", "chat.postMessage"
_REMEMBERED = 20_000

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asked last in a conversation: a stream is written for somebody."""

    team: str
    user: str
    language: Language | None = None
    streams: bool = True
    """False once Slack has refused a stream there."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """The message of one turn, as far as we know."""

    conversation: ConversationRef
    turn: str
    ts: str = ""
    """"" until Slack has told us."""
    sent: str = ""
    """What stands in it, if `sure`."""
    sure: bool = True
    open: bool = False
    """Slack takes it for a stream that goes on, as far as we know."""
    stopped: bool = False
    """The person pressed Stop."""
    lost: bool = False
    """A message was begun whose ts we were not told."""
    looked: bool = False
    """It has been looked whether a killed process left one of this turn."""
    began_at: float = 0.0
    edited_at: float = float("-inf")
    call: asyncio.Task[None] | None = None


class Streams:
    """The answers that grow now."""

    def __init__(self, calls: Calls, traces: Traces, clock: Clock, timing: Timing) -> None:
        self._calls = calls
        self._traces = traces
        self._clock = clock
        self._timing = timing
        self._born = clock.monotonic()
        self._askers: OrderedDict[ConversationRef, Asker] = OrderedDict()
        self._growing: OrderedDict[ConversationRef, dict[str, Stream]] = OrderedDict()
        self._without: dict[str, float] = {}  # account → until when it is taken to know no streams
        self._tasks: set[asyncio.Task[None]] = set()

    # -- Who asks --

    def remember(self, conversation: ConversationRef, asker: Asker) -> None:
        self._askers[conversation] = asker
        self._askers.move_to_end(conversation)
        if len(self._askers) > _REMEMBERED:
            self._askers.popitem(last=False)

    def language(self, conversation: ConversationRef) -> Language | None:
        asker = self._askers.get(conversation)
        return asker.language if asker else None

    # -- Looking --

    def of_turn(self, conversation: ConversationRef, turn: str) -> Stream | None:
        return self._growing.get(conversation, {}).get(turn)

    def is_open(self, conversation: ConversationRef) -> bool:
        return any(stream.open for stream in self._growing.get(conversation, {}).values())

    def begin(self, conversation: ConversationRef, turn: str) -> Stream:
        """The stream of this turn, perhaps not written yet."""
        streams = self._growing.setdefault(conversation, {})
        self._growing.move_to_end(conversation)
        if len(self._growing) > _REMEMBERED:
            self._growing.popitem(last=False)
        return streams.setdefault(turn, Stream(conversation=conversation, turn=turn))

    def forget(self, stream: Stream) -> None:
        streams = self._growing.get(stream.conversation, {})
        streams.pop(stream.turn, None)
        if not streams:
            self._growing.pop(stream.conversation, None)

    def stopped(self, account: str, channel: str, thread: str) -> None:
        """The person pressed Stop: Slack has ended what streams there."""
        for conversation, streams in self._growing.items():
            if (conversation.account, conversation.channel, conversation.thread) == (account, channel, thread):
                for stream in streams.values():
                    stream.stopped, stream.open = True, False

    def abandon(self, conversation: ConversationRef) -> None:
        """No final text will come for what grows there: nothing may be left streaming."""
        for stream in list(self._growing.get(conversation, {}).values()):
            self.forget(stream)
            if stream.open:
                self._start(stream, partial(self._ended_quietly, stream))

    def end_abandoned(self, conversation: ConversationRef, found: Found) -> None:
        """What killed processes left half-written further up goes on no more: its answer comes below."""
        ours = {stream.ts for stream in self._growing.get(conversation, {}).values()}
        for ts in found.abandoned:
            if ts not in ours:
                left = Stream(conversation=conversation, turn="", ts=ts, sure=False, open=True)
                self._start(left, partial(self._ended_quietly, left))

    # -- Growing --

    async def grow(self, stream: Stream, source: str) -> None:
        """Writes what is certain of `source`. Left out where the call before is still under way, or there is no room.

        :raises Refused, NotReached, NoAnswer, SendError: it was not, or perhaps not, written.
        """
        if stream.stopped or stream.lost or (stream.call is not None and not stream.call.done()):
            return
        await asyncio.shield(self._start(stream, partial(self._grown, stream, source)))

    async def quiet(self, stream: Stream) -> None:
        """Waits for the call that is under way; each has its own limit."""
        if stream.call is not None:
            await asyncio.wait([stream.call])

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, stream: Stream, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def call(before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            await work()

        stream.call = asyncio.get_running_loop().create_task(call(stream.call))
        self._tasks.add(stream.call)
        stream.call.add_done_callback(self._done)
        return stream.call

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it too; nobody may be waiting any more

    async def _grown(self, stream: Stream, source: str) -> None:
        if not stream.ts:
            await self._begun(stream, source)
        elif not stream.open:
            await self._edited(stream, source)
        elif self._clock.monotonic() - stream.began_at >= self._timing.stream_life:
            await self.end(stream)  # before Slack does; from here on it is edited
        elif stream.sure:
            await self._added(stream, source)

    async def _begun(self, stream: Stream, source: str) -> None:
        words = settled(source)
        if not words or await self._is_left_over(stream):
            return
        asker = self._asker(stream.conversation)
        if asker is None or not await self._streamed(stream, words, asker):
            await self._posted(stream, source)

    async def _streamed(self, stream: Stream, words: str, asker: Asker) -> bool:
        """Whether a stream has begun with these words; False where there can be none, or none now."""
        try:
            answer = await self._written(
                stream,
                START,
                thread_ts=stream.conversation.thread,
                recipient_team_id=asker.team,
                recipient_user_id=asker.user,
                chunks=_chunks(words),
            )
        except Refused as refused:
            if self._goes_without(stream.conversation, asker, refused):
                return False
            raise
        if answer is None:
            return False
        stream.sent, stream.open, stream.began_at = words, True, self._clock.monotonic()
        return True

    def _asker(self, conversation: ConversationRef) -> Asker | None:
        """Whom a stream would be for; None where there can be none."""
        asker = self._askers.get(conversation)
        without = self._without.get(conversation.account, 0.0) > self._clock.monotonic()
        usable = asker is not None and asker.team and asker.user and asker.streams
        return asker if usable and conversation.thread and not without else None

    def _goes_without(self, conversation: ConversationRef, asker: Asker, refused: Refused) -> bool:
        """Whether there can be no stream here at all, which is remembered."""
        if failures.is_unknown_method(refused):
            self._without[conversation.account] = self._clock.monotonic() + self._timing.unknown
            log.info("slack.streams_unknown_to_workspace", reason=refused.error)
            return True
        if failures.is_without_streams(refused):
            self.remember(conversation, replace(asker, streams=False))
            return True
        return failures.is_patience(refused)

    def may_be_left_over(self, stream: Stream) -> bool:
        """Whether a killed process may have begun to answer, and nobody has looked yet."""
        return not stream.looked and self.is_settling()

    def is_settling(self) -> bool:
        """Whether this process is so young that one before it may have been killed over what we are to send."""
        return self._clock.monotonic() - self._born <= self._timing.settling

    async def _is_left_over(self, stream: Stream) -> bool:
        """Whether a killed process left the beginning of an answer: then this turn goes on there, when it is final."""
        if not self.may_be_left_over(stream):
            return False
        stream.looked = True
        try:
            found = await self._traces.look(stream.conversation, None)
        except (SlackError, SendError):
            return False  # an unfinished answer above this one is a blemish, no loss
        self.end_abandoned(stream.conversation, found)
        if found.unfinished:
            stream.ts, stream.open, stream.sure = found.unfinished, True, False
            await self.end(stream)  # from here on it is edited
        return bool(found.unfinished)

    async def _posted(self, stream: Stream, source: str) -> None:
        forms = words_only(source)
        metadata = {"event_type": GROWING, "event_payload": {"turn": stream.turn}}
        await self._written(
            stream,
            POST,
            thread_ts=stream.conversation.thread or None,
            blocks=blocks_of(forms),
            text=forms.plain,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
        )
        stream.sure, stream.edited_at = False, self._clock.monotonic()

    async def _written(self, stream: Stream, method: str, **arguments: Any) -> Mapping[str, Any] | None:
        """Begins the message; None where there is no room for it now."""
        conversation = stream.conversation
        stream.lost = True  # until we know better: we may be cancelled
        try:
            answer = await self._calls.spare(conversation, method, channel=conversation.channel, **arguments)
        except NoAnswer:
            raise
        except (SlackError, SendError):
            stream.lost = False
            raise
        if answer is None:
            stream.lost = False
            return None
        ts = answer.get("ts")
        if not isinstance(ts, str) or not ts:
            raise NoAnswer(f"{method}: a message without a name")
        stream.ts, stream.lost = ts, False
        return answer

    async def _added(self, stream: Stream, source: str) -> None:
        words = settled(source)
        if len(words) <= len(stream.sent) or not words.startswith(stream.sent):
            return
        rest = words[len(stream.sent) :]
        stream.sure = False  # until we know better: we may be cancelled
        conversation = stream.conversation
        try:
            answer = await self._calls.spare(
                conversation, APPEND, channel=conversation.channel, ts=stream.ts, chunks=_chunks(rest)
            )
        except NoAnswer:
            raise
        except (SlackError, SendError) as error:
            stream.sure = True
            if not isinstance(error, Refused) or not failures.is_stream_ended(error):
                raise
            stream.open, stream.stopped = False, failures.is_stopped(error)
            return
        stream.sure = answer is None or answer.get("ts") == stream.ts  # else something in between said "ok"
        if answer is not None:
            stream.sent = words

    async def _edited(self, stream: Stream, source: str) -> None:
        now = self._clock.monotonic()
        if now - stream.edited_at < self._timing.update:
            return
        stream.sure, stream.edited_at = False, now
        forms, conversation = words_only(source), stream.conversation
        metadata = {"event_type": GROWING, "event_payload": {"turn": stream.turn}}
        await self._calls.spare(
            conversation,
            UPDATE,
            channel=conversation.channel,
            ts=stream.ts,
            blocks=blocks_of(forms),
            text=forms.plain,
            metadata=metadata,
        )

    # -- Ending --

    async def end(self, stream: Stream) -> None:
        """Ends it as it stands. Harmless where it has ended.

        :raises Refused, NotReached, NoAnswer, SendError: it may go on.
        """
        conversation = stream.conversation
        try:
            await self._calls.paced(conversation, STOP, channel=conversation.channel, ts=stream.ts)
        except Refused as refused:
            stream.stopped = stream.stopped or failures.is_stopped(refused)
            if failures.is_about_everything(refused):
                raise
        stream.open = False

    async def _ended_quietly(self, stream: Stream) -> None:
        try:
            await self.end(stream)
        except (SlackError, SendError) as error:
            log.debug("slack.stream_left_to_itself", reason=type(error).__name__)


def _chunks(words: str) -> list[dict[str, str]]:
    return [{"type": "markdown_text", "text": words}]
