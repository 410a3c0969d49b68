"""Who is listening to which session, and what waits to be written to them.

Everything here happens on the event loop and never waits for a client: the core hands snapshots and replies in, a
stream keeps the newest snapshot and every reply, and the request handler of that client writes them at its own pace.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bot.messages import Reply

STREAMS_PER_SESSION = 4
STREAMS_IN_TOTAL = 2000
MAX_WAITING_REPLIES = 64
"""Past it the client is not reading; it is disconnected, and gets everything when it asks again."""


class Purpose(enum.Enum):
    """What a stream waits for."""

    ANSWER = "answer"
    """The reply to one message."""
    EVENTS = "events"
    """Every reply of the session, for as long as the client stays."""


class End(enum.Enum):
    """Why a stream has nothing more to say."""

    CLOSING = "closing"
    """The channel is closed."""
    SUPERSEDED = "superseded"
    """The session opened too many streams; the oldest one of EVENTS gave way."""
    BEHIND = "behind"
    """The client does not read what it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The answer so far; "" says that somebody is at work."""

    turn_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A reply for good."""

    id: int
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The bot says nothing to this message: an agent has it, or (`taken`) it needs no answer."""

    taken: bool = False


class TooManyStreams(Exception):
    """The session, or the whole channel, holds as many streams as it may."""


class Stream:
    """One client's queue."""

    def __init__(self, *, purpose: Purpose, alive: Callable[[], bool]) -> None:
        self.purpose = purpose
        self.alive = alive
        self._inbound: int | None = None
        self._snapshot: Snapshot | None = None
        self._said: deque[Delivery | Silence] = deque()
        self._silenced: set[int] = set()
        self._end: End | None = None
        self._wake = asyncio.Event()

    @property
    def inbound(self) -> int | None:
        """The stored message whose reply this stream waits for; None before it is known."""
        return self._inbound

    def bind(self, inbound_id: int) -> None:
        """Waits for the reply to this message and no other, counting what came while its id was not known."""
        self._inbound = inbound_id
        self._said = deque(
            said for said in self._said if isinstance(said, Delivery) and inbound_id in said.reply.answers
        )
        if inbound_id in self._silenced:
            self._said.append(Silence())

    def offer(self, snapshot: Snapshot) -> None:
        """The newest snapshot wins; a client that reads slowly skips some."""
        if self.purpose is Purpose.ANSWER:
            self._snapshot = snapshot
            self._wake.set()

    def deliver(self, delivery: Delivery) -> None:
        if self.purpose is Purpose.ANSWER and self._inbound is not None:
            if self._inbound not in delivery.reply.answers:
                return
            # What comes after the reply would be older than it.
            self._snapshot = None
        if len(self._said) >= MAX_WAITING_REPLIES:
            self.finish(End.BEHIND)
            return
        self._said.append(delivery)
        self._wake.set()

    def silence(self, answers: tuple[int, ...]) -> None:
        if self.purpose is not Purpose.ANSWER:
            return
        if self._inbound is None:
            self._silenced.update(answers)
        elif self._inbound in answers:
            self._said.append(Silence())
            self._wake.set()

    def take(self) -> None:
        """The message of this stream needs no answer."""
        self._said.append(Silence(taken=True))
        self._wake.set()

    async def arrives(self, *, seconds: float) -> bool:
        """Whether something for good is there, at the latest after that time. Takes nothing away."""
        try:
            async with asyncio.timeout(seconds):
                while not (self._said or self._end):
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return False
        return bool(self._said)

    def finish(self, reason: End) -> None:
        self._end = self._end or reason
        self._wake.set()

    async def next(self, *, seconds: float) -> Delivery | Silence | Snapshot | End | None:
        """What to write next; None when nothing came in that time. Replies go before the stream's end."""
        if not self._ready():
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return None
        if self._said:
            return self._said.popleft()
        if self._end:
            return self._end
        snapshot, self._snapshot = self._snapshot, None
        return snapshot

    def _ready(self) -> bool:
        return bool(self._said or self._end or self._snapshot)


class Switchboard:
    """Every open stream, by session."""

    def __init__(self, *, per_session: int = STREAMS_PER_SESSION, in_total: int = STREAMS_IN_TOTAL) -> None:
        self._per_session = per_session
        self._in_total = in_total
        self._sessions: dict[str, list[Stream]] = {}
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def open(self, session: str, *, purpose: Purpose, alive: Callable[[], bool]) -> Iterator[Stream]:
        """A stream that hears everything from now on.

        `alive` tells whether the client is still connected; it is asked only when room is short, because a client
        that vanished is otherwise noticed no earlier than at the next write.

        :raises TooManyStreams: no room even without the ones that are gone, or the channel is closed.
        """
        if self._closed:
            raise TooManyStreams
        self._make_room(session)
        stream = Stream(purpose=purpose, alive=alive)
        self._sessions.setdefault(session, []).append(stream)
        self._count += 1
        try:
            yield stream
        finally:
            self._forget(session, stream)

    def show(self, session: str, snapshot: Snapshot) -> None:
        """To whoever waits longest: turns of a conversation are answered in order."""
        waiting = [stream for stream in self._sessions.get(session, ()) if stream.purpose is Purpose.ANSWER]
        # A stream whose message is not stored yet is the youngest.
        bound = [stream for stream in waiting if stream.inbound is not None]
        oldest = min((stream.inbound for stream in bound if stream.inbound is not None), default=None)
        for stream in waiting:
            if stream.inbound == oldest:
                stream.offer(snapshot)

    def deliver(self, session: str, delivery: Delivery) -> None:
        for stream in self._sessions.get(session, ()):
            stream.deliver(delivery)

    def silence(self, session: str, answers: tuple[int, ...]) -> None:
        for stream in self._sessions.get(session, ()):
            stream.silence(answers)

    def reopen(self) -> None:
        self._closed = False

    def retire(self) -> None:
        """Opens no more streams and ends those of events: what they wait for is kept, and may take for ever."""
        self._closed = True
        self._finish(Purpose.EVENTS)

    def close(self) -> None:
        """Ends every stream; no more are opened."""
        self._closed = True
        self._finish(*Purpose)

    def _finish(self, *purposes: Purpose) -> None:
        for streams in self._sessions.values():
            for stream in streams:
                if stream.purpose in purposes:
                    stream.finish(End.CLOSING)

    def _make_room(self, session: str) -> None:
        if self._count >= self._in_total:
            for name in tuple(self._sessions):
                self._drop_dead(name)
            if self._count >= self._in_total:
                raise TooManyStreams
        if len(self._sessions.get(session, ())) < self._per_session:
            return
        self._drop_dead(session)
        streams = self._sessions.get(session, [])
        if len(streams) < self._per_session:
            return
        # A forgotten tab, or a phone that changed its network: its replies are kept, it can ask for them again.
        oldest = next((stream for stream in streams if stream.purpose is Purpose.EVENTS), None)
        if oldest is None:
            raise TooManyStreams
        oldest.finish(End.SUPERSEDED)
        self._forget(session, oldest)

    def _drop_dead(self, session: str) -> None:
        for stream in tuple(self._sessions.get(session, ())):
            if not stream.alive():
                stream.finish(End.BEHIND)
                self._forget(session, stream)

    def _forget(self, session: str, stream: Stream) -> None:
        streams = self._sessions.get(session, [])
        if stream in streams:
            streams.remove(stream)
            self._count -= 1
        if not streams:
            self._sessions.pop(session, None)
