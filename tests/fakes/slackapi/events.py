"""Events in Slack's shape: the outer callback with its authorizations, and what is inside."""

from __future__ import annotations

from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.feed import Feed
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller, public
from tests.fakes.slackapi.state import APP, Channel, Json, Message, State, Team

VERIFICATION_TOKEN = "fake-verification-token"
_SUBSCRIPTIONS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
# Slack sends these with no `authorizations`: there may be none left.
_WITHOUT_AUTHORIZATIONS = frozenset({"app_uninstalled", "tokens_revoked"})


class Events:
    """Wraps events and hands them to the feed; also tells the bot of its own posts, as Slack does."""

    def __init__(self, state: State, feed: Feed) -> None:
        self._state = state
        self._feed = feed
        self.echoes = True
        """The app hears its own messages."""

    def send(self, event: Json, team: Team, *, channel: Channel | None = None, event_id: str = "") -> list[str]:
        """Ids of what was sent: nothing where the app did not ask for this event."""
        wanted = self._state.subscribed
        kind = event["type"]
        name = _SUBSCRIPTIONS[channel.kind] if kind == "message" and channel is not None else kind
        if wanted is not None and name not in wanted:
            return []
        event_id = event_id or self._state.new_id("Ev")
        self._feed.push("events_api", self.wrapped(event, team, event_id, channel), event_id)
        return [event_id]

    def wrapped(self, event: Json, team: Team, event_id: str, channel: Channel | None = None) -> Json:
        """The outer event."""
        outer: Json = {
            "token": VERIFICATION_TOKEN, "team_id": team.id, "api_app_id": APP, "event": event,
            "type": "event_callback", "event_id": event_id, "event_time": int(self._state.clock.now()),
            "is_ext_shared_channel": bool(channel and channel.shared_with),
            "context_team_id": team.id, "context_enterprise_id": team.enterprise or None,
            "event_context": f"4-{event_id}",
        }  # fmt: skip
        if team.enterprise:
            outer["enterprise_id"] = team.enterprise
        if event["type"] not in _WITHOUT_AUTHORIZATIONS:
            outer["authorizations"] = [
                {
                    "enterprise_id": team.enterprise or None,
                    "team_id": None if team.org_wide else team.id,
                    "user_id": team.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": team.org_wide,
                }
            ]
        return outer

    def said(self, channel: Channel, message: Message, team: Team, **more: object) -> list[str]:
        """A `message` event for what stands there."""
        return self.send(self._inner(channel, public(message, team.id) | more, message.ts), team, channel=channel)

    def _inner(self, channel: Channel, fields: Json, event_ts: str) -> Json:
        return {**fields, "type": "message", "channel": channel.id, "channel_type": channel.kind, "event_ts": event_ts}

    def edited(self, channel: Channel, message: Message, before: Json, team: Team) -> list[str]:
        ts = self._state.new_ts()
        fields: Json = {
            "subtype": "message_changed", "hidden": True, "ts": ts, "message": public(message, team.id),
            "previous_message": before,
        }  # fmt: skip
        return self.send(self._inner(channel, fields, ts), team, channel=channel)

    def deleted(self, channel: Channel, message: Message, team: Team) -> list[str]:
        ts = self._state.new_ts()
        fields: Json = {
            "subtype": "message_deleted", "hidden": True, "ts": ts, "deleted_ts": message.ts,
            "previous_message": public(message, team.id),
        }  # fmt: skip
        return self.send(self._inner(channel, fields, ts), team, channel=channel)

    def table(self) -> dict[str, Handler]:
        return {"apps.event.authorizations.list": self._authorizations}

    def _authorizations(self, params: Params, caller: Caller) -> Json:
        delivery = self._feed.deliveries.get(params.required("event_context").removeprefix("4-"))
        if delivery is None:
            raise Refused("invalid_event_context")
        return {"authorizations": delivery.payload.get("authorizations", []), "cursor_next": ""}

    # -- chat.Echo --

    def posted(self, channel: Channel, message: Message) -> None:
        if self.echoes:
            self.said(channel, message, self._team(channel, message))

    def changed(self, channel: Channel, message: Message, before: Json) -> None:
        if self.echoes:
            self.edited(channel, message, before, self._team(channel, message))

    def removed(self, channel: Channel, message: Message) -> None:
        if self.echoes:
            self.deleted(channel, message, self._team(channel, message))

    def _team(self, channel: Channel, message: Message) -> Team:
        return self._state.team(message.team or channel.team)
