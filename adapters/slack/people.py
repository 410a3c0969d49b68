"""Who somebody is: their name, their language, and whether they are one of the company's own people.

Employees ask here, and the knowledge they may be told from is not for everybody. So people of other companies in a
shared channel (Slack Connect) are never answered, guests of the workspace only where the settings say so, and nobody
where strangers read along (`adapters.slack.receiving`). Strangers are known by the payload itself. That somebody is a
guest only `users.info` says; while it gives no answer people count as employees: guests are few and were invited, and
an outage must not make the bot deaf to everybody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.slack.reading import Place
from adapters.slack.texts import storable
from adapters.slack.wire import SlackError
from bot.errors import SendError
from bot.ports import Clock
from bot.telemetry import get_logger

_REMEMBERED = 10_000
_FRESH = 3600.0
"""Seconds. Names change, and guests become colleagues."""
_FAILED = 30.0
"""Seconds in which nobody asks again after an answer that did not come: each asking costs a message its time."""
LIMIT = 0.8
"""Seconds for one answer; the message waits for it, and Slack waits three for the message."""

log = get_logger(__name__)


class Calls(Protocol):
    """`adapters.slack.api.Api`, as far as the receiving half needs it."""

    async def call(self, account: str, method: str, **arguments: Any) -> Mapping[str, Any]:
        """As there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What Slack says of somebody."""

    name: str = ""
    locale: str = ""
    guest: bool = False
    stranger: bool = False
    bot: bool = False
    enterprise: str = ""
    """The organisation (Enterprise Grid) they belong to; "" for none."""


class People:
    """Asks Slack, and remembers for a while."""

    def __init__(self, *, api: Calls, clock: Clock, limit: float = LIMIT) -> None:
        self._api = api
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], tuple[float, Person | None]] = OrderedDict()

    def name(self, account: str, user: str) -> str:
        """What is remembered; nobody is asked."""
        known = self._known.get((account, user))
        return known[1].name if known is not None and known[1] is not None else ""

    async def find(self, account: str, user: str) -> Person | None:
        """None where Slack does not say in time."""
        known = self._known.get((account, user))
        now = self._clock.monotonic()
        if known is not None and now - known[0] < (_FRESH if known[1] is not None else _FAILED):
            return known[1]
        found = await self._ask(account, user)
        if found is None and known is not None:
            found = known[1]  # old news are better than none
        self._known[account, user] = (now, found)
        self._known.move_to_end((account, user))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _ask(self, account: str, user: str) -> Person | None:
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._api.call(account, "users.info", user=user, include_locale=True)
        except (SlackError, SendError, TimeoutError) as error:
            log.debug("slack.person_unknown", reason=type(error).__name__)
            return None
        return _person(answer.get("user"))


def _person(user: object) -> Person | None:
    if not isinstance(user, dict):
        return None
    profile = user.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    organisation = user.get("enterprise_user")
    return Person(
        name=_words(profile.get("display_name")) or _words(profile.get("real_name")) or _words(user.get("name")),
        locale=_words(user.get("locale"))[:35],
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        stranger=bool(user.get("is_stranger")),
        bot=bool(user.get("is_bot")),
        enterprise=_words(organisation.get("enterprise_id")) if isinstance(organisation, dict) else "",
    )


def _words(value: object) -> str:
    return storable(value).strip()[:128] if isinstance(value, str) else ""


def not_ours(person: Person | None, *, home: str, place: Place, guests: bool) -> str:
    """Why somebody is not answered; "" for the company's own people.

    :param home: their workspace, where the payload named another than the one we are installed in.
    """
    if home and not (person is not None and place.enterprise and person.enterprise == place.enterprise):
        return "from another company"
    if person is None:
        return ""
    if person.bot:
        return "from a bot"
    if person.stranger:
        return "from another company"
    return "from a guest" if person.guest and not guests else ""
