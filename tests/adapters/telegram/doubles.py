"""What stands around the Telegram channel in its tests: a core that keeps what is accepted, and samples of updates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from adapters.rendering.safe_text import utf16_length
from adapters.telegram.addressing import Me
from adapters.telegram.parsing import Reading
from bot.clock import SystemClock
from bot.messages import ConversationRef, HistoryEntry, Reply
from bot.ports import Surroundings
from bot.telemetry import Metrics
from tests.fakes.clocks import HandClock
from tests.fakes.nothing import NoDatabase, NoTickets, nothing_comes_back

BOT_ID = 700000001
BOT_NAME = "kefu_test_bot"
TOKEN = f"{BOT_ID}:AAFakeTokenForTestsOnly-0123456789abcdef"
SECRET = "a-secret_for-the_webhook"
ME = Me(id=BOT_ID, username=BOT_NAME)
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
READING = Reading(me=ME, collections=("default",), now=NOW)
DATE = 1_790_000_000

Json = dict[str, Any]


class NoRecords:
    """The Telegram channel never looks back."""

    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        raise AssertionError("not for this channel")

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        raise AssertionError("not for this channel")

    async def engaged(self, conversation: ConversationRef) -> bool:
        raise AssertionError("not for this channel")


def surroundings(clock: SystemClock | HandClock | None = None, *, max_body_bytes: int = 100_000) -> Surroundings:
    return Surroundings(
        clock=clock or SystemClock(),
        metrics=Metrics(),
        records=NoRecords(),
        tickets=NoTickets(),
        database=NoDatabase(),
        came_back=nothing_comes_back,
        public_url="",
        max_message_chars=4000,
        max_body_bytes=max_body_bytes,
    )


# -- Updates --


def person(user_id: int = 5, **about: Any) -> Json:
    return {"id": user_id, "is_bot": False, "first_name": "Li", "last_name": "Na", "language_code": "zh-hans", **about}


def chat(chat_id: int) -> Json:
    kind = "private" if chat_id > 0 else "supergroup" if chat_id < -(10**12) else "group"
    return {"id": chat_id, "type": kind, **({} if chat_id > 0 else {"title": "Customers"})}


def message(text: str = "", *, chat_id: int = 5, message_id: int = 10, **fields: Any) -> Json:
    """A Message; names and commands in the text are marked as a client marks them."""
    made: Json = {"message_id": message_id, "date": DATE, "chat": chat(chat_id), "from": person(), **fields}
    if text:
        made["text"] = text
        made.setdefault("entities", marks(text))
    return made


def update(kind: str = "message", payload: Json | None = None, *, update_id: int = 900) -> Json:
    return {"update_id": update_id, kind: payload if payload is not None else message("hello")}


def marks(text: str) -> list[Json]:
    """Entities of the words that begin with @ or /."""
    found = []
    position = 0
    for word in text.split(" "):
        kind = {"@": "mention", "/": "bot_command"}.get(word[:1])
        if kind:
            clean = word.rstrip(",，:：。.!?")
            offset = utf16_length(text[:position])
            found.append({"type": kind, "offset": offset, "length": utf16_length(clean)})
        position += len(word) + 1
    return found


def replying_to_us(text: str = "七天内可以退货。", message_id: int = 9) -> Json:
    return {"message_id": message_id, "date": DATE - 60, "chat": chat(-100), "from": us(), "text": text}


def us() -> Json:
    return {"id": BOT_ID, "is_bot": True, "first_name": "Kefu", "username": BOT_NAME}
