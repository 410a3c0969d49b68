"""What the fake Telegram knows: chats, messages, updates with their fate, and every call that was made."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.botapi.errors import ApiError, BadRequest, Forbidden
from tests.fakes.platform import Changes

Json = dict[str, Any]

# Everything of Bot API 10.3 that arrives without being asked for. `stopped_message_generation` is named by the method
# pages (sendMessageDraft, `can_stop`); here it has to be asked for, so that a bot which forgets it is found out.
DEFAULT_UPDATES = frozenset(
    [
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_connection",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "inline_query",
        "chosen_inline_result",
        "callback_query",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",
        "poll_answer",
        "my_chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
    ]
)


@dataclass(slots=True, kw_only=True)
class Call:
    """One request of the bot, in the order of arrival."""

    number: int
    at: float
    """Wall clock, seconds."""
    method: str
    params: Json
    chat: int | None = None
    status: int = 0
    """HTTP status of the answer; 0 while it runs or when the connection was broken."""
    applied: bool = False
    """It had its effect, whatever the caller was told."""
    fault: str = ""
    """The kind of the fault that hit it."""
    description: str = ""
    message_id: int | None = None
    text: str = ""
    """What a reader would see (Markdown where it was sent as a rich message)."""


@dataclass(slots=True, kw_only=True)
class Chat:
    """A chat as Telegram keeps it."""

    id: int
    type: str
    about: Json = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    """Forum topics: id → "open" or "closed"."""
    barred: str = ""
    """The words behind "Forbidden: " while the bot may not write."""
    migrated_to: int | None = None
    messages: dict[int, Json] = field(default_factory=dict)
    drafts: dict[int, Json] = field(default_factory=dict)

    @property
    def card(self) -> Json:
        """The Chat object of the API."""
        return {"id": self.id, "type": self.type, **self.about}


@dataclass(slots=True, kw_only=True)
class StoredUpdate:
    """An update and what became of it."""

    id: int
    update: Json
    at: float
    handed_out: int = 0
    """How often it went out (a poll's answer or a webhook request)."""
    confirmed_at: float | None = None
    """A higher offset was asked for, or the webhook answered 2xx: Telegram has forgotten it."""


@dataclass(slots=True, kw_only=True)
class Webhook:
    url: str
    secret: str = ""
    max_connections: int = 40
    last_error: str = ""
    last_error_at: float = 0.0


class State(Changes):
    """Everything that survives a restart of the bot, and with `save` one of the fake."""

    def __init__(self, *, token: str, username: str, name: str) -> None:
        super().__init__()
        self.token = token
        self.me: Json = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": name,
            "username": username,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
            "has_topics_enabled": False,
        }
        self.chats: dict[int, Chat] = {}
        self.updates: dict[int, StoredUpdate] = {}
        self.pending: deque[int] = deque()
        self.calls: list[Call] = []
        self.callbacks: dict[str, Json] = {}
        self.settings: Json = {}
        self.webhook: Webhook | None = None
        self.allowed: frozenset[str] = DEFAULT_UPDATES
        self.next_update = 700_000_001
        self.next_message = 1

    # -- Chats and messages --

    def chat(self, chat_id: int, **about: Any) -> Chat:
        """The chat, made on first mention: positive ids are private, -100… are supergroups."""
        if chat_id not in self.chats:
            kind = "private" if chat_id > 0 else "supergroup" if chat_id < -1_000_000_000_000 else "group"
            named = {"first_name": f"Person {chat_id}"} if kind == "private" else {"title": f"Group {-chat_id}"}
            self.chats[chat_id] = Chat(id=chat_id, type=kind, about=named)
        chat = self.chats[chat_id]
        chat.about.update(about)
        return chat

    def reachable(self, chat_id: int) -> Chat:
        """:raises ApiError: as Telegram does for chats it does not know, that moved or that locked the bot out."""
        chat = self.chats.get(chat_id)
        if chat is None:
            raise BadRequest("chat not found")
        if chat.migrated_to is not None:
            moved = {"migrate_to_chat_id": chat.migrated_to}
            raise BadRequest("group chat was upgraded to a supergroup chat", moved)
        if chat.barred:
            raise Forbidden(chat.barred)
        return chat

    def new_message(self, chat: Chat, message: Json) -> Json:
        """Files the message. Supergroups count for themselves, all other chats share one row of numbers."""
        if chat.type == "supergroup":
            number = max(chat.messages, default=0) + 1
        else:
            number = self.next_message
            self.next_message += 1
        filed = {"message_id": number, "date": int(time.time()), "chat": chat.card, **message}
        chat.messages[number] = filed
        return filed

    # -- Updates --

    def push(self, kind: str, payload: Json, *, update_id: int | None = None) -> int | None:
        """Queues an update; None where the bot did not ask for this kind."""
        if kind not in self.allowed:
            return None
        if update_id is None:
            update_id = self.next_update
            self.next_update += 1
        update = {"update_id": update_id, kind: payload}
        self.updates[update_id] = StoredUpdate(id=update_id, update=update, at=time.time())
        self.pending.append(update_id)
        self.touch()
        return update_id

    def confirm(self, update_id: int) -> None:
        """Forgets the update as Telegram does; the record stays for the test."""
        stored = self.updates[update_id]
        if stored.confirmed_at is None:
            stored.confirmed_at = time.time()
        self.touch()

    def confirm_below(self, offset: int) -> None:
        kept = deque(update_id for update_id in self.pending if update_id >= offset)
        for update_id in self.pending:
            if update_id < offset:
                self.confirm(update_id)
        self.pending = kept

    # -- Calls --

    def begin(self, method: str, params: Json) -> Call:
        chat_id = params.get("chat_id")
        call = Call(number=len(self.calls), at=time.time(), method=method, params=params)
        if isinstance(chat_id, int) or (isinstance(chat_id, str) and chat_id.lstrip("-").isdigit()):
            call.chat = int(chat_id)
        self.calls.append(call)
        return call

    # -- On disk --

    def save(self, path: Path) -> None:
        """Writes everything, whole or not at all."""
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps(self._as_json(), ensure_ascii=False), encoding="utf-8")
        scratch.replace(path)

    def load(self, path: Path) -> None:
        """Takes over what an earlier fake saved."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        for name in ("me", "callbacks", "settings", "next_update", "next_message"):
            setattr(self, name, kept[name])
        self.allowed = frozenset(kept["allowed"])
        self.pending = deque(kept["pending"])
        self.webhook = Webhook(**kept["webhook"]) if kept["webhook"] else None
        self.calls = [Call(**call) for call in kept["calls"]]
        self.updates = {item["id"]: StoredUpdate(**item) for item in kept["updates"]}
        for item in kept["chats"]:
            for table in ("messages", "drafts", "topics"):
                item[table] = {int(key): value for key, value in item[table].items()}
            self.chats[item["id"]] = Chat(**item)

    def _as_json(self) -> Json:
        return {
            **{name: getattr(self, name) for name in ("me", "callbacks", "settings", "next_update", "next_message")},
            "allowed": sorted(self.allowed),
            "pending": list(self.pending),
            "webhook": dataclasses.asdict(self.webhook) if self.webhook else None,
            "calls": [dataclasses.asdict(call) for call in self.calls],
            "updates": [dataclasses.asdict(stored) for stored in self.updates.values()],
            "chats": [dataclasses.asdict(chat) for chat in self.chats.values()],
        }


def visible(message: Json) -> str:
    """The words of a message as a reader sees them; a rich message's source."""
    return str(message.get("text") or message.get("_source") or message.get("caption") or "")


def public(message: Json) -> Json:
    """The message as the API returns it: without what only the fake remembers."""
    return {key: value for key, value in message.items() if not key.startswith("_")}


def not_found() -> ApiError:
    """A method this server does not have."""
    return ApiError(404, "Not Found: method not found")
