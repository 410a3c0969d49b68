"""Values to JSON columns and back, by the types that `bot.messages` declares."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from bot.messages import ConversationRef, DialogueState, Reply


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def reply_to_json(reply: Reply) -> dict[str, Any]:
    data: dict[str, Any] = _adapter(Reply).dump_python(reply, mode="json", exclude_defaults=True)
    return data


def reply_from_json(data: dict[str, Any]) -> Reply:
    reply: Reply = _adapter(Reply).validate_python(data)
    return reply


def state_to_json(state: DialogueState) -> dict[str, Any]:
    data: dict[str, Any] = _adapter(DialogueState).dump_python(state, mode="json", exclude_defaults=True)
    return data


def state_from_json(data: dict[str, Any] | None) -> DialogueState:
    state: DialogueState = _adapter(DialogueState).validate_python(data or {})
    return state


def conversation_to_columns(ref: ConversationRef) -> dict[str, str]:
    return {"platform": ref.platform, "account": ref.account, "channel": ref.channel, "thread": ref.thread}
