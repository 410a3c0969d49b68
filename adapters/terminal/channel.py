"""The terminal as a channel: a question goes in, its reply comes back to whoever asked."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence

from adapters.rendering.safe_text import clean
from adapters.terminal import view
from bot.errors import KefuError, NotSent
from bot.messages import ConversationRef, Feedback, IncomingMessage, MessageKind, ReceiptStatus, Reply, Sender
from bot.ports import ChannelHealth, Clock, Intake, Part, SnapshotSink, Unpaced

PLATFORM = "terminal"
ANSWER_SECONDS = 150.0
"""How long `ask` waits: more than a turn may take, so that it only ends a wait that nothing will end."""
START_SECONDS = 60.0
NOBODY_THERE_SECONDS = 60.0
MAX_USER_CHARS = 128

# What the core knows as a command; anything else behind a slash is words, a path or a date.
_COMMAND = re.compile(r"/(start|help|reset|ticket)(?:\s+(.*))?", re.ASCII | re.IGNORECASE | re.DOTALL)


class NoAnswer(KefuError):
    """The core took the message and gave no reply to it."""


class TerminalChannel(Unpaced):
    """Implements `bot.ports.Channel` for people and programs in this process.

    Only conversations in which somebody waits or sits (`present`) are delivered to; the core keeps the other
    replies, such as an agent's answer to a ticket that was opened here yesterday, until somebody does.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_message_chars: int,
        on_snapshot: SnapshotSink | None = None,
        on_notice: Callable[[Reply], None] | None = None,
        snapshot_seconds: float = 0.1,
        patience_factor: float = 1.0,
    ) -> None:
        """`on_snapshot` and `on_notice` (a reply that answers no question of this session) are called on the loop.
        `patience_factor` stretches the wait for an answer, where turns may take longer than usual."""
        self._clock = clock
        self._max_message_chars = max_message_chars
        self._on_snapshot = on_snapshot
        self._on_notice = on_notice
        self._snapshot_seconds = snapshot_seconds
        self._patience_factor = patience_factor
        self._intake: asyncio.Future[Intake] | None = None
        self._present: dict[str, int] = {}
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        # A reply may be sent before `accept` has returned to whoever asked.
        self._accepting = 0
        self._early: dict[int, Reply | NoAnswer] = {}

    @property
    def platform(self) -> str:
        return PLATFORM

    @property
    def account(self) -> str:
        return ""

    @property
    def repeatable(self) -> bool:
        # Nothing lies between us and the reader: only a kill in the middle of a send leaves a doubt, and then a second
        # copy on the screen is better than an operator's work.
        return True

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False

    async def run(self, intake: Intake) -> None:
        running = self._started()
        running.set_result(intake)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._intake = None

    def health(self) -> ChannelHealth:
        return ChannelHealth(up=True)

    async def ask(self, text: str, user: str, collections: Sequence[str] = ("default",)) -> Reply:
        """Hands the words in as `user`'s (the sender "terminal:<user>") and waits for the reply to them.

        :raises NoAnswer: none came, or the core kept the words without answering.
        :raises StoreUnavailable: nothing was kept.
        """
        with self.present(user):
            waiting = await self._accept(self._said(text, user, collections))
            patience = ANSWER_SECONDS * self._patience_factor
            try:
                async with asyncio.timeout(patience):
                    return await waiting
            except TimeoutError:
                raise NoAnswer(f"no answer within {patience:.0f} seconds") from None
            finally:
                self._forget(waiting)

    async def stop(self, user: str) -> None:
        """The running answer is no longer wanted."""
        await self._hand_in(self._message(user, kind=MessageKind.STOP))

    async def rate(self, user: str, feedback: Feedback) -> None:
        """A judgement of one answer."""
        await self._hand_in(self._message(user, kind=MessageKind.FEEDBACK, feedback=feedback))

    @contextlib.contextmanager
    def present(self, user: str) -> Iterator[None]:
        """Somebody sits in this user's conversation."""
        user = channel_of(user)
        self._present[user] = self._present.get(user, 0) + 1
        try:
            yield
        finally:
            self._present[user] -= 1
            if not self._present[user]:
                del self._present[user]

    def show_interval(self, conversation: ConversationRef) -> float | None:
        return self._snapshot_seconds if self._on_snapshot is not None else None

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        if self._on_snapshot is not None and conversation.channel in self._present:
            self._on_snapshot(text)
        return None

    def render(self, reply: Reply) -> tuple[Part, ...]:
        return (Part(text=view.whole(reply)),)

    async def send(
        self,
        conversation: ConversationRef,
        part: Part,
        *,
        replaces: str | None,
        delivery_id: int,
        reply: Reply,
    ) -> str:
        if conversation.channel not in self._present:
            raise NotSent("nobody sits at this terminal now", retry_after=NOBODY_THERE_SECONDS)
        expected = [self._resolve(inbound_id, reply) for inbound_id in reply.answers]
        if not any(expected) and self._on_notice is not None:
            self._on_notice(reply)
        return str(delivery_id)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        for inbound_id in answers:
            self._resolve(inbound_id, NoAnswer("a person has this conversation, and will answer here"))

    async def close(self) -> None:
        for waiting in self._waiting.values():
            _settle(waiting, NoAnswer("the bot is stopping"))

    def _forget(self, waiting: asyncio.Future[Reply]) -> None:
        for inbound_id in [known for known, other in self._waiting.items() if other is waiting]:
            del self._waiting[inbound_id]

    def _started(self) -> asyncio.Future[Intake]:
        if self._intake is None:
            self._intake = asyncio.get_running_loop().create_future()
        return self._intake

    async def _hand_in(self, message: IncomingMessage) -> tuple[ReceiptStatus, int | None]:
        try:
            async with asyncio.timeout(START_SECONDS):
                intake = await asyncio.shield(self._started())
        except TimeoutError:
            raise NoAnswer(f"the core did not start within {START_SECONDS:.0f} seconds") from None
        (receipt,) = await intake.accept([message])
        return receipt.status, receipt.inbound_id

    def _resolve(self, inbound_id: int, outcome: Reply | NoAnswer) -> bool:
        """Whether somebody waits for this, or is about to."""
        waiting = self._waiting.get(inbound_id)
        if waiting is None and self._accepting:
            self._early[inbound_id] = outcome
        elif waiting is not None:
            _settle(waiting, outcome)
        return waiting is not None or self._accepting > 0

    async def _accept(self, message: IncomingMessage) -> asyncio.Future[Reply]:
        if not message.text and not message.command:
            raise NoAnswer("there is nothing to answer: the text is empty")
        self._accepting += 1
        try:
            status, inbound_id = await self._hand_in(message)
            if status is ReceiptStatus.SHED:
                raise NoAnswer("over a limit (section [limits]): kept, but not answered")
            if status is not ReceiptStatus.ACCEPTED or inbound_id is None:
                raise NoAnswer(f"the message was not taken as a question ({status.value})")
            waiting = self._waiting[inbound_id] = asyncio.get_running_loop().create_future()
            if (early := self._early.pop(inbound_id, None)) is not None:
                _settle(waiting, early)
            return waiting
        finally:
            self._accepting -= 1
            if not self._accepting:
                self._show_strays()

    def _show_strays(self) -> None:
        """What came early and was for nobody who asked: the answer to a question that was given up."""
        for outcome in self._early.values():
            if isinstance(outcome, Reply) and self._on_notice is not None:
                self._on_notice(outcome)
        self._early.clear()

    def _said(self, text: str, user: str, collections: Sequence[str]) -> IncomingMessage:
        text = clean(text).strip()[: self._max_message_chars]
        command = _COMMAND.fullmatch(text)
        if command is None:
            return self._message(user, text=text, collections=tuple(collections))
        name, rest = command[1].lower(), (command[2] or "").strip()
        return self._message(user, kind=MessageKind.COMMAND, command=name, text=rest, collections=tuple(collections))

    def _message(
        self,
        user: str,
        *,
        kind: MessageKind = MessageKind.TEXT,
        text: str = "",
        command: str = "",
        feedback: Feedback | None = None,
        collections: tuple[str, ...] = ("default",),
    ) -> IncomingMessage:
        channel = channel_of(user)
        return IncomingMessage(
            keys=(f"{PLATFORM}:{uuid.uuid4().hex}",),
            conversation=ConversationRef(platform=PLATFORM, account="", channel=channel),
            sender=Sender(id=f"{PLATFORM}:{channel}"),
            kind=kind,
            text=text,
            sent_at=self._clock.now(),
            command=command,
            feedback=feedback,
            collections=collections,
        )


def _settle(waiting: asyncio.Future[Reply], outcome: Reply | NoAnswer) -> None:
    if waiting.done():
        return
    if isinstance(outcome, NoAnswer):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)


def channel_of(user: str) -> str:
    """The user's conversation: their id without the platform in front, as `kefu users export` prints it."""
    return clean(user).removeprefix(f"{PLATFORM}:").strip()[:MAX_USER_CHARS] or "local"


def nobody() -> str:
    """A user of one question: a conversation of its own, which no later question continues."""
    return f"once-{uuid.uuid4().hex[:12]}"
