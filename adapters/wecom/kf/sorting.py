"""A page's happenings, sorted: what is said to us, what is said to a colleague, and what has to be remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.wecom.kf.holding import Holding
from adapters.wecom.kf.parsing import Changed, Entered, Failed, Happening, Holder, Ignored, Read, Said
from adapters.wecom.kf.people import People
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.windows import Note, Window, Windows
from bot.messages import ConversationRef, IncomingMessage, MessageKind
from bot.telemetry import get_logger

_REACTIONS = frozenset({MessageKind.EDIT, MessageKind.FEEDBACK})
"""Not to be answered, so ours whoever has the customer."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What a page comes to."""

    messages: tuple[IncomingMessage, ...]
    """To be accepted, in order."""
    welcomes: tuple[Entered, ...] = ()
    """To be welcomed, each for the first time."""
    failures: tuple[Failed, ...] = ()


@dataclass(slots=True)
class _Customer:
    """One customer while their page is read."""

    holder: Holder
    known: bool
    """The holder is what WeCom has said, and nothing has happened since that it would not have told of."""
    held_at: datetime | None = None
    heard: tuple[datetime, str] | None = None
    changed: tuple[Holder, datetime] | None = None
    welcome: Entered | None = None
    name: str = ""
    """What they call themselves, if this is the first that is heard of them."""
    to_come: int = 0
    """How often the rest of the page has them pass to somebody."""

    def is_with(self, holder: Holder, at: datetime) -> None:
        """WeCom says so: that counts, whatever was known."""
        at = at if self.held_at is None else max(at, self.held_at)
        self.holder, self.held_at, self.changed, self.known = holder, at, (holder, at), True

    def pass_to(self, holder: Holder, at: datetime) -> None:
        """Pages may come twice: what is older than what is known has been seen."""
        if self.held_at is None or at >= self.held_at:
            self.holder, self.held_at, self.changed, self.known = holder, at, (holder, at), holder == "bot"


@dataclass(slots=True)
class _Sorting:
    customers: dict[ConversationRef, _Customer]
    final: bool
    """Nothing comes after this page: what WeCom says now is how it ends."""
    messages: list[IncomingMessage] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    to_others: int = 0


class Sorter:
    """Sorts pages. Remembering comes before accepting: a page that is not accepted comes again, and is remembered
    again to no effect; and a reply may be on its way as soon as its message is accepted."""

    def __init__(self, windows: Windows, holding: Holding, people: People) -> None:
        self._windows = windows
        self._holding = holding
        self._people = people
        self._told: dict[ConversationRef, Holder] = {}
        """What WeCom has said of who has whom since the last page was sorted. A page of hundreds, of which each time
        another one is not told, would never be sorted."""

    async def sort(self, page: Read) -> Sorted:
        """
        :raises WeComError: nobody knows now who has a customer; the page has to be read again.
        :raises StoreUnavailable: it could not be remembered; likewise.
        """
        customers = await self._customers(page)
        sorting = _Sorting(customers=customers, final=not page.has_more)
        for happening in page.happenings:
            await self._take(happening, sorting)
        notes = [note for one, customer in customers.items() if (note := _note(one, customer)) is not None]
        welcomed = await self._windows.note(notes)
        self._told.clear()
        if sorting.to_others:
            log.info("wecom.left_to_colleagues", channel=SECTION, messages=sorting.to_others)
        entered = [customer.welcome for one, customer in customers.items() if one in welcomed]
        return Sorted(
            messages=tuple(sorting.messages),
            welcomes=tuple(one for one in entered if one is not None),
            failures=tuple(sorting.failures),
        )

    async def _customers(self, page: Read) -> dict[ConversationRef, _Customer]:
        """Everybody whom the page tells of, and what is known of them."""
        everybody = _people(page.happenings)
        windows = await self._windows.find(everybody)
        customers = {one: _customer(windows.get(one)) for one in everybody}
        first_said: dict[ConversationRef, datetime] = {}
        for happening in page.happenings:
            if isinstance(happening, Changed):
                customers[happening.conversation].to_come += 1
            elif isinstance(happening, Said) and happening.message.kind not in _REACTIONS:
                first_said.setdefault(happening.message.conversation, happening.at)
        strangers = {one: at for one, at in first_said.items() if customers[one].held_at is None}
        await self._meet({one: at for one, at in strangers.items() if not customers[one].to_come}, customers)
        names = await self._people.names([one.thread for one in strangers]) if strangers else {}
        for one in strangers:
            customers[one].name = names.get(one.thread, "")
        return customers

    async def _meet(
        self, strangers: Mapping[ConversationRef, datetime], customers: Mapping[ConversationRef, _Customer]
    ) -> None:
        """Asks who has them, side by side: a campaign brings many at once."""
        answers = await asyncio.gather(*map(self._holder, strangers), return_exceptions=True)
        for one, answer in zip(strangers, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            customers[one].is_with(answer, strangers[one])

    async def _holder(self, conversation: ConversationRef) -> Holder:
        if conversation not in self._told:
            self._told[conversation] = await self._holding.ask(conversation)
        return self._told[conversation]

    async def _take(self, happening: Happening, sorting: _Sorting) -> None:
        match happening:
            case Said(message=message, at=at):
                await self._hear(message, at, sorting)
            case Changed(conversation=one, holder=holder, at=at):
                sorting.customers[one].to_come -= 1
                sorting.customers[one].pass_to(holder, at)
            case Entered(conversation=one):
                sorting.customers[one].welcome = happening
            case Failed():
                sorting.failures.append(happening)
            case Ignored(reason=reason, malformed=malformed):
                write = log.warning if malformed else log.debug
                write("wecom.item_ignored", channel=SECTION, reason=reason)

    async def _hear(self, message: IncomingMessage, at: datetime, sorting: _Sorting) -> None:
        customer = sorting.customers[message.conversation]
        if message.kind is not MessageKind.EDIT:
            customer.heard = (at, message.message_id)
        if customer.name:
            message = replace(message, sender=replace(message.sender, name=customer.name))
        if message.kind in _REACTIONS or await self._is_ours(message.conversation, customer, at, sorting):
            sorting.messages.append(message)
        else:
            sorting.to_others += 1

    async def _is_ours(
        self, conversation: ConversationRef, customer: _Customer, at: datetime, sorting: _Sorting
    ) -> bool:
        """A session also ends by itself, of which nothing tells: where a colleague has it, WeCom is asked. But it says
        how things stand now: of what came before a change, or before pages that we have not read yet, it says
        nothing."""
        if not customer.known and not customer.to_come and sorting.final and customer.held_at is not None:
            customer.is_with(await self._holder(conversation), at)
        return customer.holder == "bot"


def _people(happenings: Sequence[Happening]) -> list[ConversationRef]:
    """Everybody that a page tells of, each once."""
    found: dict[ConversationRef, None] = {}
    for happening in happenings:
        match happening:
            case Said(message=message):
                found[message.conversation] = None
            case Changed(conversation=one) | Entered(conversation=one):
                found[one] = None
    return list(found)


def _customer(window: Window | None) -> _Customer:
    if window is None or window.held_at is None:
        return _Customer(holder="bot", known=False)
    return _Customer(holder=window.holder, known=window.holder == "bot", held_at=window.held_at)


def _note(conversation: ConversationRef, customer: _Customer) -> Note | None:
    code = customer.welcome.code if customer.welcome is not None else ""
    if customer.heard is None and customer.changed is None and not code:
        return None
    return Note(conversation=conversation, heard=customer.heard, held=customer.changed, welcome=code)
