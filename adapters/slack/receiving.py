"""One payload, whichever way it came: read, judged, stored. Only after this may Slack be told that we have it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from adapters.slack import wordings
from adapters.slack.interactions import Interacted, message_of, parse_command, parse_interaction
from adapters.slack.modals import form_refused
from adapters.slack.parsing import Parsed, parse_event
from adapters.slack.people import People, Person, not_ours
from adapters.slack.places import Places
from adapters.slack.reading import Place, Reading
from adapters.slack.wordings import language_of
from bot.messages import ConversationRef, IncomingMessage, Language, MessageKind, ReceiptStatus
from bot.ports import Clock, Intake
from bot.telemetry import get_logger

_REMEMBERED = 1000

log = get_logger(__name__)


class Asked(Protocol):
    """`adapters.slack.sending.Sender.remember`."""

    def __call__(self, conversation: ConversationRef, *, team: str, user: str, language: Language | None) -> None: ...


class Engaged(Protocol):
    """What the core's database knows of threads."""

    async def engaged(self, conversation: ConversationRef) -> bool:
        """Whether we take part in this thread: something was said to us in it, or it hangs under an answer of ours
        (a delivery of a turn, not a notice to operators, whose message has the thread's number).

        :raises StoreUnavailable: it can not be read now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisper:
    """What one person is told in a channel, and nobody else."""

    conversation: ConversationRef
    user: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one payload came to."""

    reading: Reading
    event: Parsed | None = None
    interaction: Interacted | None = None
    answer: Mapping[str, Any] | None = None
    """What is said in the acknowledgement itself."""
    whisper: Whisper | None = None


class Receiver:
    """Takes payloads."""

    def __init__(
        self,
        *,
        many: bool,
        collections: tuple[str, ...],
        guests: bool,
        shared_channels: bool,
        me: Callable[[str], str],
        people: People,
        places: Places,
        engaged: Engaged,
        uninstalled: Callable[[Place, str, datetime], Awaitable[None]],
        stopped: Callable[[str, str, str], None],
        asked: Asked,
        clock: Clock,
        store_limit: float,
        began: Callable[[ConversationRef], None] = lambda conversation: None,
    ) -> None:
        """
        :param me: our own user id in an account; "" while it is not known.
        :param uninstalled: told of (where, Slack's reason, when); raises StoreUnavailable where that can not be kept.
        :param stopped: told of (account, channel, thread) in which somebody has pressed Stop.
        :param asked: told who waits for an answer: Slack's streams are written for somebody.
        :param began: told of threads whose first message this process has stored: nothing of ours can stand there.
        """
        self._many = many
        self._collections = collections
        self._guests = guests
        self._shared_channels = shared_channels
        self._me = me
        self._people = people
        self._places = places
        self._engaged = engaged
        self._uninstalled = uninstalled
        self._stopped = stopped
        self._asked = asked
        self._clock = clock
        self._store_limit = store_limit
        self._declined_lately: deque[str] = deque(maxlen=_REMEMBERED)
        self._began = began

    def reading(self) -> Reading:
        return Reading(
            many=self._many,
            collections=self._collections,
            now=self._clock.now(),
            me=self._me,
            name_of=self._people.name,
        )

    async def receive(self, body: Mapping[str, Any], intake: Intake) -> Received:
        """What is to be kept of it is kept when this returns.

        :raises StoreUnavailable, TimeoutError: nothing was kept; Slack has to come again.
        """
        reading = self.reading()
        if "event" in body:
            return await self._event(body, reading, intake)
        if "command" in body:
            return await self._command(body, reading, intake)
        if "type" in body:
            return await self._interaction(body, reading, intake)
        return Received(reading=reading)

    async def _event(self, body: Mapping[str, Any], reading: Reading, intake: Intake) -> Received:
        parsed = parse_event(body, reading)
        if parsed.uninstalled:
            await self._uninstalled(parsed.place, parsed.uninstalled, _event_time(body, reading))
        message = parsed.message
        if message is None:
            _note(parsed.ignored, malformed=parsed.malformed)
            return Received(reading=reading, event=parsed)
        if parsed.if_engaged and not await self._takes_part(message.conversation):
            return Received(reading=reading, event=replace(parsed, message=None, ignored="not our thread"))
        if message.kind in (MessageKind.TEXT, MessageKind.COMMAND, MessageKind.EDIT):
            person = await self._people.find(parsed.place.account, parsed.user)
            if reason := not_ours(person, home=parsed.home, place=parsed.place, guests=self._guests):
                _note(reason)
                return Received(reading=reading, event=replace(parsed, message=None, ignored=reason))
            if parsed.overheard and not self._shared_channels:
                whisper = self._declined(message, parsed.user, person)
                return Received(reading=reading, event=replace(parsed, message=None), whisper=whisper)
            message = _introduced(message, person)
            self._remember(message, parsed.home or parsed.place.workspace, parsed.user, person)
        await self._keep(message, intake)
        if message.kind is MessageKind.STOP:
            self._stopped(message.conversation.account, message.conversation.channel, message.conversation.thread)
        return Received(reading=reading, event=parsed)

    async def _interaction(self, body: Mapping[str, Any], reading: Reading, intake: Intake) -> Received:
        done = parse_interaction(body, reading)
        received = Received(reading=reading, interaction=done)
        if done.malformed and done.place.account + done.user and body.get("type") == "view_submission":
            person = await self._people.find(done.place.account, done.user)
            return replace(received, answer=form_refused(_language(person)))
        if done.ignored:
            _note(done.ignored, malformed=done.malformed)
            return received
        person = await self._people.find(done.place.account, done.user)
        if reason := not_ours(person, home=done.home, place=done.place, guests=self._guests):
            _note(reason)
            return replace(received, interaction=Interacted(place=done.place, ignored=reason))
        if done.message is not None:
            message = await self._placed(_introduced(done.message, person), done, person)
            self._remember(message, done.home or done.place.workspace, done.user, person)
            await self._keep(message, intake)
        return received

    async def _placed(self, message: IncomingMessage, done: Interacted, person: Person | None) -> IncomingMessage:
        """A ticket from a message goes where it can be answered."""
        if done.about is None:
            return message
        spot = await self._places.of_ticket(
            done.place.account, message.keys[0], done.about, done.user, message.text, _language(person)
        )
        ref = replace(message.conversation, channel=spot.channel, thread=spot.thread)
        return replace(message, conversation=ref, direct=spot.private or message.direct)

    async def _command(self, body: Mapping[str, Any], reading: Reading, intake: Intake) -> Received:
        done = parse_command(body, reading)
        received = Received(reading=reading, interaction=done)
        if done.malformed:
            _note(done.ignored, malformed=True)
            return received
        person = await self._people.find(done.place.account, done.user)
        if reason := not_ours(person, home="", place=done.place, guests=self._guests):
            _note(reason)
            return received
        language = _language(person)
        if done.asked is None:
            return replace(received, answer=_whisper(wordings.USAGE[language]))
        spot = await self._places.of_question(done.place.account, done.asked, language)
        message = message_of(done.asked, done.place, done.name, spot.channel, spot.thread, reading)
        self._remember(message, done.place.workspace, done.user, person)
        await self._keep(_introduced(message, person), intake)
        return replace(received, answer=_whisper(wordings.ANSWERED_IN_PRIVATE[language])) if spot.private else received

    def _declined(self, message: IncomingMessage, user: str, person: Person | None) -> Whisper | None:
        """Once a message: nothing is stored of it that would tell its twin event, or a repetition, from news."""
        key = message.keys[-1]
        if key in self._declined_lately:
            return None
        self._declined_lately.append(key)
        return Whisper(conversation=message.conversation, user=user, text=wordings.OVERHEARD[_language(person)])

    async def _takes_part(self, conversation: ConversationRef) -> bool:
        async with asyncio.timeout(self._store_limit):
            return await self._engaged.engaged(conversation)

    def _remember(self, message: IncomingMessage, team: str, user: str, person: Person | None) -> None:
        """Before it is stored: its answer may begin at once."""
        if message.kind is not MessageKind.FEEDBACK:
            language = language_of(person.locale) if person is not None and person.locale else None
            self._asked(message.conversation, team=team, user=user, language=language)

    async def _keep(self, message: IncomingMessage, intake: Intake) -> None:
        async with asyncio.timeout(self._store_limit):
            receipts = await intake.accept([message])
        is_new = all(receipt.status is ReceiptStatus.ACCEPTED for receipt in receipts)
        if is_new and message.message_id and message.message_id == message.conversation.thread:
            self._began(message.conversation)


def _introduced(message: IncomingMessage, person: Person | None) -> IncomingMessage:
    """With the name and the language that Slack knows."""
    if person is None:
        return message
    sender = replace(message.sender, name=person.name or message.sender.name, language=person.locale)
    return replace(message, sender=sender)


def _language(person: Person | None) -> Language:
    return language_of(person.locale if person is not None else "")


def _whisper(text: str) -> dict[str, Any]:
    return {"response_type": "ephemeral", "text": text}


def _event_time(body: Mapping[str, Any], reading: Reading) -> datetime:
    """When it happened; a time that is none is now."""
    seconds = body.get("event_time")
    if type(seconds) is int and 0 < seconds < 2**33:
        return datetime.fromtimestamp(seconds, reading.now.tzinfo)
    return reading.now


def _note(reason: str, *, malformed: bool = False) -> None:
    """One line for what can not be read; what needs no answer is for whoever debugs."""
    if malformed:
        log.warning("slack.payload_malformed", where=reason)
    elif reason:
        log.debug("slack.payload_ignored", reason=reason)
