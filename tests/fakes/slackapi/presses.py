"""What people press and fill in: buttons, shortcuts, slash commands, modals."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.events import VERIFICATION_TOKEN
from tests.fakes.slackapi.feed import Delivery, Feed
from tests.fakes.slackapi.places import public
from tests.fakes.slackapi.responses import Responses
from tests.fakes.slackapi.state import APP, TEAM, Json, State, Team
from tests.fakes.slackapi.views import public as shown_view


class Presses:
    """Deeds that become interactive payloads and slash commands. Every method returns the id of the delivery."""

    def __init__(self, state: State, feed: Feed, responses: Responses) -> None:
        self._state = state
        self._feed = feed
        self._responses = responses

    def presses(
        self, channel: str, ts: str, action_id: str, *, value: str | None = None, user: str = "", positive: bool = True
    ) -> Json:
        """A button of a message, by its `action_id` (and `value`, where several have it).

        Feedback buttons take `positive`. A button that is not there cannot be pressed.

        :raises LookupError: the message has no such button.
        """
        room = self._state.channels[channel]
        message = next((one for one in [*room.messages.values(), *room.ephemeral] if one.ts == ts), None)
        if message is None or message.deleted:
            raise LookupError(f"no message {ts}")
        action = self._pressed(kit.actions_of([*(message.stream.blocks if message.stream else ()), *message.blocks]),
                               action_id, value, positive)  # fmt: skip
        person = user or message.seen_by or room.user or "U1"
        home = self._state.team(room.team)
        container: Json = {
            "type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": bool(message.seen_by),
        }  # fmt: skip
        if message.thread:
            container["thread_ts"] = message.thread
        payload = self._payload("block_actions", person, home) | {
            "container": container,
            "channel": {"id": channel, "name": "directmessage" if room.kind == "im" else room.name},
            "message": public(message, home.id),
            "response_url": self._responses.url(channel, message.root if message.thread else "", ts, person),
            "actions": [action],
            "state": {"values": {}},
        }
        return self._send("interactive", payload)

    def presses_in_home(self, user: str, action_id: str, *, value: str | None = None, team: str = TEAM) -> Json:
        """A button in the App Home."""
        view = self._state.homes[team, user]
        return self._press_in_view(view, user, action_id, value)

    def presses_in_view(self, view_id: str, action_id: str, *, value: str | None = None) -> Json:
        """A button in an open modal."""
        view = self._state.views[view_id]
        return self._press_in_view(view, view["_user"], action_id, value)

    def submits(self, view_id: str, values: Json | None = None) -> Json:
        """Submits a modal; `values` is block_id → action_id → the element's state (or just its text)."""
        view = self._state.views[view_id]
        if view["_closed"]:
            raise LookupError(f"the view {view_id} is closed")
        state = {
            block: {name: one if isinstance(one, dict) else {"type": "plain_text_input", "value": one}
                    for name, one in inside.items()}
            for block, inside in (values or {}).items()
        }  # fmt: skip
        home = self._state.team(view["team_id"])
        payload = self._payload("view_submission", view["_user"], home) | {
            "view": shown_view(view) | {"state": {"values": state}},
            "response_urls": [],
        }
        return self._send("interactive", payload)

    def closes(self, view_id: str) -> Json:
        """Closes a modal; the bot hears of it only with `notify_on_close`."""
        view = self._state.views[view_id]
        view["_closed"] = True
        if not view["notify_on_close"]:
            return {"id": ""}
        home = self._state.team(view["team_id"])
        payload = self._payload("view_closed", view["_user"], home) | {"view": shown_view(view), "is_cleared": False}
        payload.pop("trigger_id")
        return self._send("interactive", payload)

    def uses_shortcut(self, channel: str, ts: str, callback_id: str, *, user: str = "U1") -> Json:
        """A message shortcut (`message_action`)."""
        room = self._state.channels[channel]
        home = self._state.team(room.team)
        payload = self._payload("message_action", user, home) | {
            "callback_id": callback_id,
            "channel": {"id": channel, "name": "directmessage" if room.kind == "im" else room.name},
            "message_ts": ts,
            "message": public(room.messages[ts], home.id),
            "action_ts": self._state.new_ts(),
            "response_url": self._responses.url(channel, room.messages[ts].thread, ts, user),
        }
        return self._send("interactive", payload)

    def uses_global_shortcut(self, callback_id: str, *, user: str = "U1", team: str = TEAM) -> Json:
        payload = self._payload("shortcut", user, self._state.team(team))
        return self._send("interactive", payload | {"callback_id": callback_id, "action_ts": self._state.new_ts()})

    def commands(self, channel: str, command: str, text: str = "", *, user: str = "", team: str = TEAM) -> Json:
        """A slash command, `/ask words`. It has no thread."""
        home = self._state.team(self._state.channels[channel].team if channel in self._state.channels else team)
        room = self._state.channel(channel, team=home.id, user=user)
        person = user or room.user or "U1"
        self._state.person(person, team=home.id)
        trigger = self._state.trigger(person, home.id)
        payload: Json = {
            "token": VERIFICATION_TOKEN, "team_id": home.id, "team_domain": "kefu", "channel_id": channel,
            "channel_name": "directmessage" if room.kind == "im" else room.name, "user_id": person,
            "user_name": self._state.people[person].name, "command": command, "text": text, "api_app_id": APP,
            "is_enterprise_install": str(home.org_wide).lower(), "trigger_id": trigger,
            "response_url": self._responses.url(channel, "", "", person),
        }  # fmt: skip
        if home.enterprise:
            payload |= {"enterprise_id": home.enterprise, "enterprise_name": home.enterprise}
        self._feed.push("slash_commands", payload, trigger)
        return {"id": trigger, "trigger_id": trigger}

    # -- What the bot answered with its acknowledgement --

    def answered(self, delivery: Delivery) -> None:
        """Slack acts on it: a view's response_action, a command's text."""
        answer = delivery.answer
        try:
            if delivery.kind == "slash_commands" and answer:
                self._responses.apply(delivery.payload["response_url"], answer, counted=False)
            if delivery.kind == "interactive" and delivery.payload["type"] == "view_submission":
                self._responses.act(self._state.views[delivery.payload["view"]["id"]], answer)
        except Refused as refusal:
            self._responses.refused.append(f"{refusal.error} {refusal.fields}")

    # -- Inside --

    def _press_in_view(self, view: Json, user: str, action_id: str, value: str | None) -> Json:
        action = self._pressed(kit.actions_of(view["blocks"]), action_id, value, True)
        payload = self._payload("block_actions", user, self._state.team(view["team_id"])) | {
            "container": {"type": "view", "view_id": view["id"]},
            "view": shown_view(view),
            "actions": [action],
        }
        return self._send("interactive", payload)

    def _payload(self, kind: str, user: str, home: Team) -> Json:
        person = self._state.people.get(user) or self._state.person(user, team=home.id)
        return {
            "type": kind, "token": VERIFICATION_TOKEN, "api_app_id": APP,
            "team": None if home.org_wide else {"id": home.id, "domain": "kefu"},
            "user": {"id": user, "username": person.name, "name": person.name, "team_id": person.team},
            "enterprise": {"id": home.enterprise, "name": home.enterprise} if home.enterprise else None,
            "is_enterprise_install": home.org_wide, "trigger_id": self._state.trigger(user, home.id),
        }  # fmt: skip

    def _pressed(self, found: list[Json], action_id: str, value: str | None, positive: bool) -> Json:
        for one in found:
            if one["action_id"] != action_id:
                continue
            chosen = one
            if one["type"] == "feedback_buttons":
                chosen = one["positive_button" if positive else "negative_button"]
            if value is None or chosen.get("value") == value:
                return {
                    "type": one["type"], "action_id": action_id, "block_id": one["block_id"],
                    "text": chosen.get("text"), "value": chosen.get("value"), "action_ts": self._state.new_ts(),
                }  # fmt: skip
        raise LookupError(f"no button {action_id} among {json.dumps([one['action_id'] for one in found])}")

    def _send(self, kind: Any, payload: Json) -> Json:
        delivery_id = payload.get("trigger_id") or self._state.new_id("closed.")
        self._feed.push(kind, payload, delivery_id)
        return {"id": delivery_id, "trigger_id": payload.get("trigger_id", "")}
