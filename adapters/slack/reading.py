"""What payloads are read with, and where they came from. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pydantic

from adapters.slack.payloads import Authorization, EventCall
from bot.messages import ConversationRef, Sender

PLATFORM = "slack"
COMMANDS = frozenset({"start", "help", "reset", "ticket", "stop"})

_NAME_LIMIT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What payloads are read with."""

    many: bool
    """Several workspaces: each one's id is the account, and part of its people's ids."""
    collections: tuple[str, ...]
    now: datetime
    me: Callable[[str], str] = lambda account: ""
    """Our own user id in an account, where a payload does not say it; "" while it is not known."""
    name_of: Callable[[str, str], str] = lambda account, user: ""
    """What a person of an account is called; "" while it is not known."""

    def account(self, workspace: str) -> str:
        return workspace if self.many else ""

    def sender(self, account: str, user: str, name: str = "") -> Sender:
        """Ids of people are only unique in their workspace."""
        shown = (self.name_of(account, user) or name)[:_NAME_LIMIT]
        return Sender(id=f"{PLATFORM}:{account}/{user}" if account else f"{PLATFORM}:{user}", name=shown)

    @property
    def arrival(self) -> int:
        """The place in the order of a conversation for what has none of its own."""
        return int(self.now.timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something came from."""

    account: str
    workspace: str = ""
    """The workspace that we are installed in and that the payload came for."""
    enterprise: str = ""
    me: str = ""


NOWHERE = Place(account="")


def place_of(call: EventCall, reading: Reading) -> Place:
    """By the installation that Slack names first: with people of other companies about, `team_id` may be theirs."""
    first = call.authorizations[0] if call.authorizations else Authorization()
    workspace = first.team_id or call.context_team_id or call.team_id
    enterprise = first.enterprise_id or call.enterprise_id
    account = reading.account((enterprise if first.is_enterprise_install else workspace) or workspace)
    me = first.user_id if first.is_bot and first.user_id else reading.me(account)
    return Place(account=account, workspace=workspace, enterprise=enterprise, me=me)


def foreign(home: str, place: Place) -> str:
    """The workspace somebody is from, where it is another than ours."""
    return home if home and place.workspace and home not in (place.workspace, place.enterprise) else ""


def where(refused: pydantic.ValidationError) -> str:
    """What is wrong, without what stands there."""
    first = refused.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(step) for step in first['loc'])[:100]}: {first['type']}"


def conversation(place: Place, channel: str, thread: str) -> ConversationRef:
    return ConversationRef(platform=PLATFORM, account=place.account, channel=channel, thread=thread)
