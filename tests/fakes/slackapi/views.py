"""views.*: modals behind a trigger, and the App Home."""

from __future__ import annotations

from typing import Any

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.errors import Refused, invalid_arguments
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller
from tests.fakes.slackapi.state import APP, Json, State

TITLE_LIMIT = 24
PRIVATE_LIMIT = 3_000
DEEPEST_STACK = 3


class Views:
    """What the bot opens, and what a person does with it (in `people`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    def table(self) -> dict[str, Handler]:
        return {
            "views.open": self._open,
            "views.push": self._push,
            "views.update": self._update,
            "views.publish": self._publish,
        }

    def _open(self, params: Params, caller: Caller) -> Json:
        view = checked(params.structure("view", dict, "invalid_arguments"), "modal")
        user = self._spend(params.required("trigger_id"), caller)
        return {"view": self.file(view, user, caller.team.id, root="")}

    def _push(self, params: Params, caller: Caller) -> Json:
        view = checked(params.structure("view", dict, "invalid_arguments"), "modal")
        user = self._spend(params.required("trigger_id"), caller)
        opened = [one for one in self._state.views.values() if one["_user"] == user and not one["_closed"]]
        if not opened:
            raise Refused("not_found")
        if len(opened) >= DEEPEST_STACK:
            raise Refused("push_limit_reached")
        return {"view": self.file(view, user, caller.team.id, root=opened[0]["id"])}

    def _update(self, params: Params, caller: Caller) -> Json:
        view = checked(params.structure("view", dict, "invalid_arguments"), "modal")
        asked, external = params.text("view_id"), params.text("external_id")
        if not asked and not external:
            raise invalid_arguments("missing required field: view_id")
        held = self._state.views.get(asked) or next(
            (one for one in self._state.views.values() if external and one["external_id"] == external), None
        )
        if held is None or held["_closed"] or held["team_id"] != caller.team.id:
            raise Refused("not_found")
        self._check_hash(held, params)
        return {"view": public(self.replace(held, view))}

    def _publish(self, params: Params, caller: Caller) -> Json:
        user = params.required("user_id")
        view = checked(params.structure("view", dict, "invalid_arguments"), "home")
        if user not in self._state.people:
            raise Refused("user_not_found")
        held = self._state.homes.get((caller.team.id, user))
        if held is not None:
            self._check_hash(held, params)
        made = self._made(view, user, caller.team.id, held["id"] if held else self._state.new_id("V"))
        self._state.homes[caller.team.id, user] = made
        self._state.touch()
        return {"view": public(made)}

    def file(self, view: Json, user: str, team: str, *, root: str) -> Json:
        """A modal that is open now."""
        if view.get("external_id") and any(
            one["external_id"] == view["external_id"] for one in self._state.views.values()
        ):
            raise Refused("duplicate_external_id")
        made = self._made(view, user, team, self._state.new_id("V"))
        made["root_view_id"] = root or made["id"]
        made["previous_view_id"] = root or None
        self._state.views[made["id"]] = made
        self._state.touch()
        return public(made)

    def replace(self, held: Json, view: Json) -> Json:
        """Other content for an open modal."""
        held |= view | {"hash": self._hash()}
        self._state.touch()
        return held

    def _made(self, view: Json, user: str, team: str, view_id: str) -> Json:
        return {
            "private_metadata": "", "callback_id": "", "external_id": "", "submit": None, "close": None,
            "clear_on_close": False, "notify_on_close": False, **view, "id": view_id, "team_id": team,
            "app_id": APP, "app_installed_team_id": team, "bot_id": self._state.team(team).bot, "hash": self._hash(),
            "root_view_id": view_id, "previous_view_id": None, "state": {"values": {}}, "_user": user, "_closed": False,
        }  # fmt: skip

    def _hash(self) -> str:
        return f"{int(self._state.clock.now())}.{self._state.new_id('')}"

    def _check_hash(self, held: Json, params: Params) -> None:
        if params.has("hash") and params.text("hash") != held["hash"]:
            raise Refused("hash_conflict")

    def _spend(self, trigger_id: str, caller: Caller) -> str:
        """The person of the trigger.

        :raises Refused: invalid_trigger_id, exchanged_trigger_id, expired_trigger_id.
        """
        trigger = self._state.triggers.get(trigger_id)
        if trigger is None or trigger.team != caller.team.id:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self._state.clock.now() >= trigger.expires_at:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger.user


def checked(view: Any, kind: str) -> Json:
    """A view that Slack takes.

    :raises Refused: invalid_arguments with its words.
    """
    if not view:
        raise invalid_arguments("missing required field: view")
    found: Json = dict(view)
    if found.get("type") != kind:
        raise invalid_arguments(f"must be {kind} [json-pointer:/view/type]")
    if kind == "modal":
        for name in ("title", "submit", "close"):
            _label(found, name, needed=name == "title")
    for name, limit in (("private_metadata", PRIVATE_LIMIT), ("callback_id", 255), ("external_id", 255)):
        if len(str(found.get(name) or "")) > limit:
            raise invalid_arguments(f"must be less than {limit + 1} characters [json-pointer:/view/{name}]")
    found["blocks"] = kit.check_view(found.get("blocks"), kind)
    if kind == "modal" and "submit" not in found and any(one["type"] == "input" for one in found["blocks"]):
        raise invalid_arguments("missing required field: submit [json-pointer:/view]")
    return found


def public(view: Json) -> Json:
    """The view as the API returns it."""
    return {key: value for key, value in view.items() if not key.startswith("_")}


def _label(view: Json, name: str, *, needed: bool) -> None:
    label = view.get(name)
    if label is None and not needed:
        return
    where = f"[json-pointer:/view/{name}]"
    if not isinstance(label, dict) or label.get("type") != "plain_text" or not label.get("text"):
        raise invalid_arguments(f"must be a plain_text object {where}")
    if len(label["text"]) > TITLE_LIMIT:
        raise invalid_arguments(f"must be less than {TITLE_LIMIT + 1} characters {where}")
