"""What the bot says outside the Web API: to a `response_url`, or with its acknowledgement."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.state import Json, Message, State
from tests.fakes.slackapi.views import Views, checked

LIFE = 1_800.0
USES = 5


@dataclass(slots=True, kw_only=True)
class _Address:
    channel: str
    thread: str
    original: str
    user: str
    expires_at: float
    uses: int = 0


class Responses:
    """response_urls: half an hour, five times."""

    def __init__(self, state: State, views: Views) -> None:
        self._state = state
        self._views = views
        self._addresses: dict[str, _Address] = {}
        self.base: Callable[[], str] = lambda: ""
        """Says where the fake listens."""
        self.refused: list[str] = []
        """What was said with an acknowledgement and Slack could not use: the person sees an error."""

    def url(self, channel: str, thread: str, original: str, user: str) -> str:
        """A new address for answers about this place."""
        key = self._state.new_id("")
        self._addresses[key] = _Address(
            channel=channel, thread=thread, original=original, user=user, expires_at=self._state.clock.now() + LIFE
        )
        return f"{self.base()}/response/{key}"

    async def handle(self, request: web.Request) -> web.Response:
        """POST /response/<key>."""
        try:
            body = json.loads(await request.read())
            self.apply(request.path.rpartition("/")[2], body, counted=True)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        except Refused as refusal:
            gone = refusal.error in {"used_url", "expired_url"}
            return web.Response(status=404 if gone else 400, text=refusal.error)
        return web.Response(text="ok")

    def apply(self, url: str, body: Any, *, counted: bool) -> None:
        """:raises Refused: used_url, expired_url, no_text, invalid_blocks."""
        address = self._addresses.get(url.rpartition("/")[2])
        if address is None or self._state.clock.now() >= address.expires_at:
            raise Refused("expired_url")
        if counted:
            if address.uses >= USES:
                raise Refused("used_url")
            address.uses += 1
        if not isinstance(body, dict):
            raise Refused("invalid_payload")
        self._write(address, body)
        self._state.touch()

    def act(self, view: Json, answer: Any) -> None:
        """A submission's `response_action`; nothing closes the modal.

        :raises Refused: the view is one that Slack does not take.
        """
        if not answer:
            view["_closed"] = True
            self._state.touch()
            return
        match answer:
            case {"response_action": "clear"}:
                for one in self._state.views.values():
                    one["_closed"] = one["_closed"] or one["root_view_id"] == view["root_view_id"]
            case {"response_action": "errors", "errors": dict(errors)} if errors:
                known = {block.get("block_id") for block in view["blocks"] if block["type"] == "input"}
                if not set(errors) <= known:
                    self.refused.append("errors for blocks that are no input")
                view["_errors"] = errors
            case {"response_action": "update", "view": dict(new)}:
                self._views.replace(view, checked(new, "modal"))
            case {"response_action": "push", "view": dict(new)}:
                self._views.file(checked(new, "modal"), view["_user"], view["team_id"], root=view["root_view_id"])
            case _:
                self.refused.append(f"no such answer: {answer!r}")
        self._state.touch()

    def _write(self, address: _Address, body: Json) -> None:
        room = self._state.channels[address.channel]
        team = self._state.team(room.team)
        original = next((one for one in [*room.messages.values(), *room.ephemeral] if one.ts == address.original), None)
        if body.get("delete_original"):
            if original is not None:
                original.deleted = True
            return
        text = str(body.get("text") or "")
        blocks = kit.check_message(body["blocks"]) if body.get("blocks") else []
        if not text and not blocks:
            raise Refused("no_text")
        if body.get("replace_original") and original is not None:
            original.text, original.blocks = text, blocks
            return
        in_channel = body.get("response_type") == "in_channel"
        message = Message(
            ts=self._state.new_ts(), user=team.bot_user, bot=team.bot, team=team.id, text=text, blocks=blocks,
            thread=str(body.get("thread_ts") or address.thread), seen_by="" if in_channel else address.user,
            arguments=body,
        )  # fmt: skip
        if in_channel:
            self._state.file(room, message)
        else:
            room.ephemeral.append(message)
