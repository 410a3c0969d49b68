"""Reading a call's parameters as the Bot API does: every transport carries text, JSON bodies may carry more."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.botapi.errors import BadRequest
from tests.fakes.botapi.state import Json

CALLBACK_DATA_BYTES = 64


class Params:
    """One call's parameters by name. A wrong type is the caller's fault, in the server's words."""

    def __init__(self, raw: Json) -> None:
        self.raw = raw

    def text(self, name: str, default: str = "") -> str:
        value = self.raw.get(name, default)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def integer(self, name: str, default: int = 0) -> int:
        """Anything that is no number counts as the default, as the server has it."""
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError):
            return default

    def flag(self, name: str) -> bool:
        return str(self.raw.get(name, "")).lower() in {"true", "yes", "1"}

    def chat_id(self) -> int:
        value = self.raw.get("chat_id", "")
        if value in ("", None):
            raise BadRequest("chat_id is empty")
        if not re.fullmatch(r"-?\d+", str(value)):
            raise BadRequest("chat not found")
        return int(value)

    def json(self, name: str, kind: type[dict[Any, Any]] | type[list[Any]]) -> Any:
        """A JSON-serialised object or list; None where it is absent."""
        value = self.raw.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise BadRequest(f"can't parse {name} JSON object") from None
        if not isinstance(value, kind):
            what = "an Object" if kind is dict else "an Array"
            raise BadRequest(f"object expected as {name}" if kind is dict else f"can't parse {name}: expected {what}")
        return value

    def keyboard(self) -> Json | None:
        """`reply_markup`, checked.

        :raises BadRequest: malformed, or a button that the server refuses.
        """
        markup = self.json("reply_markup", dict)
        if markup is None or "inline_keyboard" not in markup:
            return None
        rows = markup["inline_keyboard"]
        if not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
            raise BadRequest("can't parse inline keyboard: expected an Array of Array")
        for button in (button for row in rows for button in row):
            _check_button(button)
        return {"inline_keyboard": rows} if any(rows) else None


def _check_button(button: Any) -> None:
    if not isinstance(button, dict) or not isinstance(button.get("text"), str):
        raise BadRequest("can't parse inline keyboard button: Can't find field \"text\"")
    if not button["text"].strip():
        raise BadRequest("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    kinds = {"callback_data", "url", "web_app", "login_url", "switch_inline_query", "copy_text"} & set(button)
    if len(kinds) != 1:
        raise BadRequest("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in button and not 1 <= len(str(button["callback_data"]).encode()) <= CALLBACK_DATA_BYTES:
        raise BadRequest("BUTTON_DATA_INVALID")
    if "url" in button:
        parts = urlsplit(str(button["url"]))
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https", "tg"} or (parts.scheme != "tg" and "." not in host):
            raise BadRequest(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
