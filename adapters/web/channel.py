"""The web channel: the core's replies go to whoever listens to the session, and stay in the store for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from adapters.web.answers import AnswerRoutes
from adapters.web.calls import Timing
from adapters.web.cors import Cors
from adapters.web.pages import PageRoutes
from adapters.web.parsing import PLATFORM
from adapters.web.sessions import SessionRoutes
from adapters.web.settings import ChannelSettings
from adapters.web.streams import Delivery, Snapshot, Switchboard
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Surroundings, Unpaced

_SHOW_INTERVAL = 0.08
"""Seconds; about as often as growing text looks smooth. Clients that can not follow skip snapshots."""


class WebChannel(Unpaced):
    """Implements `bot.ports.HttpChannel`."""

    def __init__(
        self,
        settings: ChannelSettings,
        surroundings: Surroundings,
        *,
        board: Switchboard | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._board = board or Switchboard()
        self._timing = timing or Timing()
        self._closed = False

    @property
    def platform(self) -> str:
        return PLATFORM

    @property
    def account(self) -> str:
        return ""

    @property
    def repeatable(self) -> bool:
        """Clients know a reply by its delivery id."""
        return True

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        del conversation
        return False

    async def run(self, intake: Intake) -> None:
        """Nothing to keep up between requests: each stream looks after itself.

        When it is cancelled, streams of events end and no new ones are opened; those that wait for a reply stay, for
        the turns that are still running.
        """
        del intake
        self._board.reopen()
        try:
            await asyncio.Event().wait()
        finally:
            self._board.retire()

    def health(self) -> ChannelHealth:
        return ChannelHealth(up=not self._closed, detail=f"{len(self._board)} open streams")

    def show_interval(self, conversation: ConversationRef) -> float | None:
        del conversation
        return _SHOW_INTERVAL

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        """Never fails and never waits: a session that nobody listens to simply sees nothing."""
        del shown
        self._board.show(conversation.channel, Snapshot(turn_id=turn_id, text=text))
        return None

    def render(self, reply: Reply) -> tuple[Part, ...]:
        """One part always: the page renders Markdown itself and has no limit of length."""
        return (Part(text=reply.text),)

    async def send(
        self,
        conversation: ConversationRef,
        part: Part,
        *,
        replaces: str | None,
        delivery_id: int,
        reply: Reply,
    ) -> str:
        """Always succeeds: the reply is stored, so a client that is not here now reads it when it comes back."""
        del part, replaces
        self._board.deliver(conversation.channel, Delivery(id=delivery_id, reply=reply))
        return str(delivery_id)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """Tells whoever waits for a reply to these messages (`Receipt.inbound_id`) that none will come now.

        For turns that end without a reply because an agent has the conversation. Without this call such a stream ends
        by itself after `Timing.quiet`.
        """
        self._board.silence(conversation.channel, answers)

    def routes(self, intake: Intake) -> Sequence[web.AbstractRouteDef]:
        cors = Cors(self._settings.allowed_origins)
        answers = AnswerRoutes(
            intake=intake,
            surroundings=self._surroundings,
            board=self._board,
            cors=cors,
            collections=self._settings.collections,
            timing=self._timing,
        )
        sessions = SessionRoutes(surroundings=self._surroundings, board=self._board, cors=cors, timing=self._timing)
        pages = PageRoutes(self._settings, max_message_chars=self._surroundings.max_message_chars)
        api = (*answers.routes(), *sessions.routes())
        return (*api, *cors.preflights(api), *pages.routes())

    async def close(self) -> None:
        """Ends every stream; to be called before the HTTP server waits for its handlers."""
        self._closed = True
        self._board.close()
