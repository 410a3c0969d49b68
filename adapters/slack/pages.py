"""What is shown to one person who asked to see it: App Home, the suggestions, the dialogues."""

from __future__ import annotations

from typing import Protocol

from adapters.slack.home import TICKETS_SHOWN, home_view, suggestions
from adapters.slack.modals import TicketAbout, ticket_details, ticket_form
from adapters.slack.people import Calls, People
from adapters.slack.reading import Reading
from adapters.slack.wordings import language_of
from bot.errors import StoreUnavailable
from bot.messages import ConversationRef, Language, Ticket


class OwnTickets(Protocol):
    """`bot.ports.Tickets`, as far as a person may look at their own."""

    async def find(self, number: str, *, requester: str) -> Ticket | None:
        """As there."""

    async def recent(self, *, requester: str, limit: int) -> tuple[Ticket, ...]:
        """As there."""


class Pages:
    """Each shows one thing; each raises `SlackError` or `SendError` where it can not be shown."""

    def __init__(self, *, api: Calls, tickets: OwnTickets, people: People) -> None:
        self._api = api
        self._tickets = tickets
        self._people = people

    async def language(self, account: str, user: str) -> Language:
        """By what Slack knows of them."""
        person = await self._people.find(account, user)
        return language_of(person.locale if person is not None else "")

    async def home(self, account: str, user: str, reading: Reading) -> None:
        language = await self.language(account, user)
        tickets: tuple[Ticket, ...] | None
        try:
            requester = reading.sender(account, user).id
            tickets = await self._tickets.recent(requester=requester, limit=TICKETS_SHOWN)
        except StoreUnavailable:
            tickets = None
        await self._api.call(account, "views.publish", user_id=user, view=home_view(tickets, language))

    async def suggestions(self, account: str, user: str, channel: str) -> None:
        language = await self.language(account, user)
        await self._api.call(
            account, "assistant.threads.setSuggestedPrompts", channel_id=channel, prompts=suggestions(language)
        )

    async def details(self, account: str, user: str, number: str, trigger: str, reading: Reading) -> None:
        language = await self.language(account, user)
        ticket = await self._tickets.find(number, requester=reading.sender(account, user).id)
        await self._api.call(account, "views.open", trigger_id=trigger, view=ticket_details(ticket, language))

    async def whisper(self, conversation: ConversationRef, user: str, text: str) -> None:
        await self._api.call(
            conversation.account,
            "chat.postEphemeral",
            channel=conversation.channel,
            thread_ts=conversation.thread,
            user=user,
            text=text,
        )

    async def form(self, account: str, user: str, about: TicketAbout, trigger: str) -> None:
        language = await self.language(account, user)
        await self._api.call(account, "views.open", trigger_id=trigger, view=ticket_form(about, language))
