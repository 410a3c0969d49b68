"""Where a question is answered that was asked nowhere: a slash command has no thread, a shortcut may be used in a
channel that we can not write to.

A slash command's question is posted, so that there is a thread for the answer to grow in and for more questions; in the
channel where we may write there, else in the asker's direct conversation. It is posted before it is stored, because
the thread is part of what is stored; should it be lost in between, the asker sees their question stand there without an
answer, and Slack shows them that the command has failed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from adapters.slack import wordings
from adapters.slack.interactions import Asked
from adapters.slack.modals import TicketAbout
from adapters.slack.people import Calls
from adapters.slack.texts import escape
from adapters.slack.wire import Refused, SlackError
from bot.errors import SendError
from bot.messages import Language
from bot.telemetry import get_logger

LIMIT = 0.8
"""Seconds for one call: Slack waits three for all of it."""
_REMEMBERED = 1000
_SHOWN = 2500
"""Characters of a question that are repeated in what is posted."""

_CLOSED_TO_US = frozenset(
    {"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "missing_scope", "access_denied"}
)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A thread; `thread` is "" where nothing could be posted, and the answer itself will begin one."""

    channel: str
    thread: str
    private: bool = False
    """The asker's direct conversation, because the channel is closed to us."""


class Places:
    """Finds them. Remembers what it posted: a command that is delivered twice is posted once."""

    def __init__(self, *, api: Calls, shared: bool = False, limit: float = LIMIT) -> None:
        """
        :param shared: channels that other companies read are as good as any.
        """
        self._api = api
        self._shared = shared
        self._limit = limit
        self._spots: OrderedDict[str, Spot] = OrderedDict()

    async def of_question(self, account: str, asked: Asked, language: Language) -> Spot:
        """Where a slash command is answered."""
        if (known := self._spots.get(asked.key)) is not None:
            return known
        words = escape(_shortened(asked.words or f"/{asked.command}"))
        if asked.channel.startswith("D") or not await self._is_ours(account, asked.channel):
            spot = await self._in_private(account, asked.user, wordings.ASKED_IN_PRIVATE[language], words)
        else:
            phrase = wordings.WANTS_TICKET if asked.command == "ticket" and asked.words else wordings.ASKS
            text = phrase[language].format(who=f"<@{asked.user}>", words=words)
            try:
                spot = await self._posted(account, asked.channel, text)
            except Refused as refused:
                if refused.error not in _CLOSED_TO_US:
                    log.warning("slack.question_not_posted", reason=refused.error)
                spot = await self._in_private(account, asked.user, wordings.ASKED_IN_PRIVATE[language], words)
        spot = spot or Spot(channel=asked.channel, thread="")
        return self._remember(asked.key, spot)

    async def of_ticket(
        self, account: str, key: str, about: TicketAbout, user: str, words: str, language: Language
    ) -> Spot:
        """Where a ticket from a message is answered: under the message, if we can write there."""
        if (known := self._spots.get(key)) is not None:
            return known
        spot: Spot | None = Spot(channel=about.channel, thread=about.thread)
        if not await self._is_ours(account, about.channel):
            spot = await self._in_private(account, user, wordings.OF_TICKET[language], escape(_shortened(words)))
        return self._remember(key, spot or Spot(channel=about.channel, thread=about.thread))

    async def _is_ours(self, account: str, channel: str) -> bool:
        """Whether we are a member, among ourselves; where Slack does not say, we hope so."""
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._api.call(account, "conversations.info", channel=channel)
        except Refused as refused:
            return refused.error not in ("channel_not_found", "not_in_channel")
        except (SlackError, SendError, TimeoutError):
            return True
        found = answer.get("channel")
        if not isinstance(found, dict) or found.get("is_im"):
            return True
        if found.get("is_ext_shared") and not self._shared:
            return False
        return bool(found.get("is_member", True))

    async def _in_private(self, account: str, user: str, phrase: str, words: str) -> Spot | None:
        try:
            spot = await self._posted(account, user, phrase.format(words=words))
        except Refused as refused:
            log.warning("slack.question_not_posted", reason=refused.error)
            return None
        return Spot(channel=spot.channel, thread=spot.thread, private=True) if spot is not None else None

    async def _posted(self, account: str, channel: str, text: str) -> Spot | None:
        """Where it stands now; None where that is not known.

        :raises Refused: it surely stands nowhere.
        """
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._api.call(
                    account, "chat.postMessage", channel=channel, text=text, unfurl_links=False, unfurl_media=False
                )
        except Refused:
            raise
        except (SlackError, SendError, TimeoutError) as error:
            log.warning("slack.question_not_posted", reason=type(error).__name__)
            return None
        where, stamp = answer.get("channel"), answer.get("ts")
        return Spot(channel=where, thread=stamp) if isinstance(where, str) and isinstance(stamp, str) else None

    def _remember(self, key: str, spot: Spot) -> Spot:
        self._spots[key] = spot
        if len(self._spots) > _REMEMBERED:
            self._spots.popitem(last=False)
        return spot


def _shortened(words: str) -> str:
    return words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
