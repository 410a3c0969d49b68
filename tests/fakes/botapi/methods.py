"""The Bot API's methods over `State`: what they check, what they change and what they return."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.fakes.botapi.errors import BadRequest
from tests.fakes.botapi.formatting import TEXT_LIMIT, check_length, formatted, units
from tests.fakes.botapi.params import Params
from tests.fakes.botapi.state import Call, Chat, Json, State, not_found, public

RICH_LIMIT = 32_768
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current"
    " content and reply markup of the message"
)
_ACTIONS = frozenset(
    [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ]
)
_SINCE: dict[str, tuple[int, int]] = {
    "sendmessagedraft": (9, 5),
    "sendrichmessage": (10, 1),
    "sendrichmessagedraft": (10, 1),
}


class Methods:
    """Every plain method; getUpdates and the webhook live beside the server."""

    def __init__(self, state: State, *, version: tuple[int, int]) -> None:
        self._state = state
        self.version = version
        self._table: dict[str, Callable[[Params, Call], Any]] = {
            "getme": lambda params, call: self._state.me,
            "logout": lambda params, call: True,
            "close": lambda params, call: True,
            "sendmessage": self._send_message,
            "editmessagetext": self._edit_message_text,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete_message,
            "sendmessagedraft": self._send_draft,
            "sendrichmessage": self._send_rich,
            "sendrichmessagedraft": self._send_rich_draft,
            "sendchataction": self._send_action,
            "answercallbackquery": self._answer_callback,
            "getchat": lambda params, call: self._state.reachable(params.chat_id()).card,
            "leavechat": self._leave,
            "setmycommands": self._set_commands,
            "getmycommands": lambda params, call: self._state.settings.get(_scope("commands", params), []),
            "deletemycommands": self._delete_commands,
            "setchatmenubutton": self._set_menu,
            "getchatmenubutton": self._get_menu,
        }
        for name, limit in (("name", 64), ("description", 512), ("short_description", 120)):
            method = "my" + name.replace("_", "")
            self._table["set" + method] = _setter(state, name, limit)
            self._table["get" + method] = _getter(state, name)

    def apply(self, method: str, params: Params, call: Call) -> Any:
        """The method's result.

        :raises ApiError: in Telegram's words.
        """
        name = method.lower()
        if name not in self._table or self.version < _SINCE.get(name, (0, 0)):
            raise not_found()
        return self._table[name](params, call)

    # -- Sending --

    def _send_message(self, params: Params, call: Call) -> Json:
        chat = self._state.reachable(params.chat_id())
        text, entities = self._text(params)
        check_length(text)
        message: Json = {"text": text, **({"entities": entities} if entities else {})}
        return self._file(chat, params, call, message)

    def _send_rich(self, params: Params, call: Call) -> Json:
        chat = self._state.reachable(params.chat_id())
        return self._file(chat, params, call, self._rich(params, draft=False))

    def _file(self, chat: Chat, params: Params, call: Call, message: Json) -> Json:
        markup = params.keyboard()
        thread = self._thread(chat, params)
        reply = self._replied(chat, params)
        message = {"from": _author(self._state.me), **message, **thread, **reply}
        if markup:
            message["reply_markup"] = markup
        filed = self._state.new_message(chat, message)
        chat.drafts.clear()  # a draft makes way for the next real message
        call.message_id = filed["message_id"]
        return public(filed)

    def _text(self, params: Params) -> tuple[str, list[Json]]:
        return formatted(
            params.text("text"), parse_mode=params.text("parse_mode") or None, entities=params.json("entities", list)
        )

    def _thread(self, chat: Chat, params: Params) -> Json:
        topic = params.integer("message_thread_id")
        if not topic:
            return {}
        if topic not in chat.topics:
            raise BadRequest("message thread not found")
        if chat.topics[topic] == "closed":
            raise BadRequest("TOPIC_CLOSED")
        return {"message_thread_id": topic, "is_topic_message": True}

    def _replied(self, chat: Chat, params: Params) -> Json:
        asked = params.json("reply_parameters", dict) or {}
        number = int(asked.get("message_id") or params.integer("reply_to_message_id"))
        if not number:
            return {}
        if number in chat.messages:
            return {"reply_to_message": public(chat.messages[number])}
        if asked.get("allow_sending_without_reply") or params.flag("allow_sending_without_reply"):
            return {}
        raise BadRequest("message to be replied not found")

    def _rich(self, params: Params, *, draft: bool) -> Json:
        rich = params.json("rich_message", dict)
        if rich is None:
            raise BadRequest("rich message is empty")
        given = [name for name in ("markdown", "html", "blocks") if rich.get(name)]
        if len(given) != 1:
            raise BadRequest("exactly one of the fields html, markdown, or blocks must be used")
        source = str(rich[given[0]]).strip()
        if not source:
            raise BadRequest("message text is empty")
        if units(source) > RICH_LIMIT:
            raise BadRequest("message is too long")
        if "<tg-thinking>" in source and not draft:
            raise BadRequest("thinking blocks can be used only in message drafts")
        return {"rich_message": {"blocks": [{"type": "paragraph", "text": source}]}, "_source": source}

    # -- Drafts --

    def _send_draft(self, params: Params, call: Call) -> bool:
        chat, draft = self._draft(params)
        text, _ = self._text(params)
        if units(text) > TEXT_LIMIT:
            raise BadRequest("message is too long")
        return self._show(chat, draft, params, text)

    def _send_rich_draft(self, params: Params, call: Call) -> bool:
        chat, draft = self._draft(params)
        return self._show(chat, draft, params, self._rich(params, draft=True)["_source"])

    def _draft(self, params: Params) -> tuple[Chat, int]:
        chat = self._state.reachable(params.chat_id())
        if chat.type != "private":
            raise BadRequest("TEXTDRAFT_PEER_INVALID")
        draft = params.integer("draft_id")
        if not draft:
            raise BadRequest("RANDOM_ID_EMPTY")
        self._thread(chat, params)
        return chat, draft

    def _show(self, chat: Chat, draft: int, params: Params, text: str) -> bool:
        can_stop = params.flag("can_stop") and self.version >= (10, 3)
        chat.drafts[draft] = {"text": text, "at": time.time(), "can_stop": can_stop}
        return True

    # -- Editing --

    def _own(self, params: Params, call: Call) -> Json:
        chat = self._state.reachable(params.chat_id())
        message = chat.messages.get(params.integer("message_id"))
        if message is None:
            raise BadRequest("message to edit not found")
        if message.get("from", {}).get("id") != self._state.me["id"]:
            raise BadRequest("message can't be edited")
        call.message_id = message["message_id"]
        return message

    def _edit_message_text(self, params: Params, call: Call) -> Json:
        message = self._own(params, call)
        changed: Json
        if "rich_message" in params.raw and self.version >= (10, 1):
            changed = self._rich(params, draft=False)
        else:
            text, entities = self._text(params)
            check_length(text, edit=True)
            changed = {"text": text, **({"entities": entities} if entities else {})}
        if markup := params.keyboard():  # an edit without a keyboard takes the old one away
            changed["reply_markup"] = markup
        return _replace(message, changed, ("text", "entities", "rich_message", "_source", "reply_markup"))

    def _edit_markup(self, params: Params, call: Call) -> Json:
        message = self._own(params, call)
        markup = params.keyboard()
        return _replace(message, {"reply_markup": markup} if markup else {}, ("reply_markup",))

    def _delete_message(self, params: Params, call: Call) -> bool:
        chat = self._state.reachable(params.chat_id())
        if chat.messages.pop(params.integer("message_id"), None) is None:
            raise BadRequest("message to delete not found")
        return True

    # -- The rest --

    def _send_action(self, params: Params, call: Call) -> bool:
        chat = self._state.reachable(params.chat_id())
        if params.text("action") not in _ACTIONS:
            raise BadRequest("wrong parameter action in request")
        self._thread(chat, params)
        return True

    def _answer_callback(self, params: Params, call: Call) -> bool:
        query = self._state.callbacks.get(params.text("callback_query_id"))
        if query is None or query["answered"] is not None:
            raise BadRequest("query is too old and response timeout expired or query ID is invalid")
        text = params.text("text")
        if units(text) > 200:
            raise BadRequest("MESSAGE_TOO_LONG")
        query["answered"] = {"text": text, "show_alert": params.flag("show_alert"), "at": time.time()}
        return True

    def _leave(self, params: Params, call: Call) -> bool:
        chat = self._state.reachable(params.chat_id())
        if chat.type == "private":
            raise BadRequest("chat member status can't be changed in private chats")
        chat.barred = f"bot is not a member of the {chat.type} chat"
        return True

    def _set_commands(self, params: Params, call: Call) -> bool:
        commands = params.json("commands", list) or []
        if len(commands) > 100:
            raise BadRequest("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", str(command.get("command", "")).removeprefix("/")):
                raise BadRequest("BOT_COMMAND_INVALID")
            if not 1 <= units(str(command.get("description", ""))) <= 256:
                raise BadRequest("BOT_COMMAND_DESCRIPTION_INVALID")
        self._state.settings[_scope("commands", params)] = commands
        return True

    def _delete_commands(self, params: Params, call: Call) -> bool:
        self._state.settings.pop(_scope("commands", params), None)
        return True

    def _set_menu(self, params: Params, call: Call) -> bool:
        button = params.json("menu_button", dict) or {"type": "default"}
        if button.get("type") not in {"commands", "web_app", "default"}:
            raise BadRequest("wrong menu button type")
        self._state.settings[f"menu:{params.text('chat_id')}"] = button
        return True

    def _get_menu(self, params: Params, call: Call) -> Json:
        found: Json = self._state.settings.get(f"menu:{params.text('chat_id')}", {"type": "commands"})
        return found


def _author(me: Json) -> Json:
    return {key: me[key] for key in ("id", "is_bot", "first_name", "username")}


def _replace(message: Json, changed: Json, fields: tuple[str, ...]) -> Json:
    if all(message.get(name) == changed.get(name) for name in fields):
        raise BadRequest(NOT_MODIFIED)
    for name in fields:
        message.pop(name, None)
    message.update(changed, edit_date=int(time.time()))
    return public(message)


def _scope(name: str, params: Params) -> str:
    scope = params.json("scope", dict) or {"type": "default"}
    language = params.text("language_code")
    if language and not re.fullmatch(r"[a-z]{2}", language):
        raise BadRequest("LANGUAGE_CODE_INVALID")
    return f"{name}:{scope.get('type')}:{scope.get('chat_id', '')}:{language}"


def _setter(state: State, name: str, limit: int) -> Callable[[Params, Call], bool]:
    def put(params: Params, call: Call) -> bool:
        value = params.text(name)
        if units(value) > limit:
            raise BadRequest(f"BOT_{name.upper()}_TOO_LONG")
        state.settings[_scope(name, params)] = value
        return True

    return put


def _getter(state: State, name: str) -> Callable[[Params, Call], Json]:
    def get(params: Params, call: Call) -> Json:
        return {name: state.settings.get(_scope(name, params), "")}

    return get
