"""Reading a call's arguments as Slack does: query, form and JSON; JSON inside a form stays JSON."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.fakes.slackapi.errors import Refused, invalid_arguments
from tests.fakes.slackapi.state import Json

# Methods that do not read JSON bodies: what stands there is not seen.
FORM_ONLY = frozenset(
    [
        "conversations.replies", "conversations.history", "conversations.info", "conversations.members", "users.info",
        "files.info", "team.info", "bots.info", "oauth.v2.access", "chat.getPermalink",
    ]
)  # fmt: skip


async def arguments(request: web.Request, method: str) -> Json:
    """The arguments by name.

    :raises Refused: invalid_json, json_not_object, invalid_post_type, missing_post_type, invalid_form_data.
    """
    found: Json = dict(request.query)
    body = await request.read()
    if not body:
        return found
    if "Content-Type" not in request.headers:
        raise Refused("missing_post_type")
    if request.content_type == "application/json":
        if method in FORM_ONLY:
            return found
        return found | _from_json(body)
    if request.content_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        raise Refused("invalid_post_type")
    try:
        form = await request.post()
    except ValueError:
        raise Refused("invalid_form_data") from None
    return found | {key: value if isinstance(value, str) else "(file)" for key, value in form.items()}


def _from_json(body: bytes) -> Json:
    try:
        loaded = json.loads(body)
    except ValueError:
        raise Refused("invalid_json") from None
    if not isinstance(loaded, dict):
        raise Refused("json_not_object")
    return {key: value for key, value in loaded.items() if value is not None}


class Params:
    """One call's arguments."""

    def __init__(self, raw: Json) -> None:
        self.raw = raw

    def has(self, name: str) -> bool:
        return self.raw.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """As a string.

        :raises Refused: it is an object or a list.
        """
        value = self.raw.get(name, default)
        if isinstance(value, (dict, list)):
            raise invalid_arguments(f"must be a string [json-pointer:/{name}]")
        return str(value)

    def required(self, name: str) -> str:
        """:raises Refused: it is absent or empty."""
        value = self.text(name)
        if not value:
            raise invalid_arguments(f"missing required field: {name}")
        return value

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError):
            raise invalid_arguments(f"must be an integer [json-pointer:/{name}]") from None

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.raw.get(name)
        return default if value is None else str(value).lower() in {"true", "1"}

    def structure(self, name: str, kind: type, error: str) -> Any:
        """An object or list, as JSON text or as it is; None where it is absent.

        :raises Refused: with `error`, it is not one.
        """
        value = self.raw.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise Refused(error) from None
        if not isinstance(value, kind):
            raise Refused(error)
        return value
