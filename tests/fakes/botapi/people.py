"""What people do in the fake Telegram: each deed becomes the updates a bot would see."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from tests.fakes.botapi.formatting import units
from tests.fakes.botapi.state import Chat, Json, State, public

_COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@[A-Za-z0-9_]+)?")
_MENTION = re.compile(r"(?<!\w)@[A-Za-z][A-Za-z0-9_]{3,31}")


def detected(text: str) -> list[Json]:
    """The entities a client finds by itself: commands and mentions."""
    found = []
    for kind, pattern in (("bot_command", _COMMAND), ("mention", _MENTION)):
        for match in pattern.finditer(text):
            if kind == "mention" and match.start() and text[match.start() - 1] not in " \n\t，。,.(（":
                continue
            offset = units(text[: match.start()])
            found.append({"type": kind, "offset": offset, "length": units(match[0])})
    return sorted(found, key=lambda entity: int(entity["offset"]))


class People:
    """Deeds of customers, admins and Telegram itself. Every method returns what a test needs to go on."""

    def __init__(self, state: State) -> None:
        self._state = state

    def user(self, user_id: int, **about: Any) -> Json:
        """A User object; `about` overrides fields, e.g. language_code="en"."""
        named = {"id": user_id, "is_bot": False, "first_name": f"Person {user_id}", "language_code": "zh-hans"}
        return named | about

    def opens_chat(self, chat: int, **about: Any) -> Json:
        """Makes the chat known without an update, e.g. is_forum=True for a forum."""
        return self._state.chat(chat, **about).card

    def opens_topic(self, chat: int, topic: int, *, closed: bool = False) -> None:
        """A forum topic that can be written to, or one that was closed."""
        room = self._state.chat(chat, is_forum=True)
        room.topics[topic] = "closed" if closed else "open"

    def deletes_topic(self, chat: int, topic: int) -> None:
        self._state.chat(chat).topics.pop(topic, None)

    def says(
        self,
        chat: int,
        text: str = "",
        *,
        sender: int | None = None,
        topic: int | None = None,
        reply_to: int | None = None,
        date: int | None = None,
        entities: list[Json] | None = None,
        about: Json | None = None,
        extra: Json | None = None,
    ) -> Json:
        """Someone writes. `extra` joins the message (photo, voice, caption, …), `about` the sender."""
        room = self._state.chat(chat)
        self._unbar(room)
        message: Json = {"from": self.user(sender if sender is not None else abs(chat), **(about or {}))}
        if text:
            message["text"] = text
            if marks := detected(text) if entities is None else entities:
                message["entities"] = marks
        if topic is not None:
            room.topics.setdefault(topic, "open")
            if room.type == "supergroup":
                room.about.setdefault("is_forum", True)
            message |= {"message_thread_id": topic, "is_topic_message": True}
        if reply_to is not None:
            message["reply_to_message"] = public(room.messages[reply_to])
        if date is not None:
            message["date"] = date
        filed = self._state.new_message(room, message | (extra or {}))
        return self._told("message", filed)

    def edits(self, chat: int, message: int, text: str, *, date: int | None = None) -> Json:
        """The sender changes an earlier message."""
        filed = self._state.chats[chat].messages[message]
        filed["text"] = text
        filed["entities"] = detected(text)
        filed["edit_date"] = date if date is not None else int(time.time())
        return self._told("edited_message", filed)

    def presses(self, chat: int, message: int, data: str, *, sender: int | None = None) -> Json:
        """Someone presses an inline button; the answer is found under `callbacks` by the returned id."""
        room = self._state.chats[chat]
        query: Json = {
            "id": str(secrets.randbits(62)),
            "from": self.user(sender if sender is not None else abs(chat)),
            "chat_instance": str(secrets.randbits(62)),
            "data": data,
        }
        filed = room.messages.get(message)
        query["message"] = public(filed) if filed else {"chat": room.card, "message_id": message, "date": 0}
        self._state.callbacks[query["id"]] = {"answered": None}
        return {"id": query["id"], "update_id": self._state.push("callback_query", query)}

    def stops(self, chat: int, draft_id: int, *, topic: int | None = None) -> Json:
        """The Stop button under a draft (Bot API 10.3): no sender is told."""
        payload: Json = {"chat": self._state.chats[chat].card, "draft_id": draft_id}
        if topic is not None:
            payload["message_thread_id"] = topic
        return {"update_id": self._state.push("stopped_message_generation", payload)}

    def blocks(self, chat: int) -> Json:
        """A person blocks the bot: it is told, and may not write any more."""
        room = self._state.chat(chat)
        room.barred = "bot was blocked by the user"
        return self._membership(room, "member", "kicked")

    def unblocks(self, chat: int) -> Json:
        room = self._state.chat(chat)
        self._unbar(room)
        return self._membership(room, "kicked", "member")

    def kicks(self, chat: int, *, silently: bool = False) -> Json:
        """The bot is thrown out of a group."""
        room = self._state.chat(chat)
        kind = "supergroup" if room.type == "supergroup" else "group"
        room.barred = f"bot was kicked from the {kind} chat"
        return {} if silently else self._membership(room, "member", "kicked")

    def invites(self, chat: int) -> Json:
        """The bot is added to a group."""
        room = self._state.chat(chat)
        room.barred = ""
        return self._membership(room, "left", "member")

    def vanishes(self, chat: int) -> None:
        """A person deletes the account: nobody is told, sends fail."""
        self._state.chat(chat).barred = "user is deactivated"

    def migrates(self, chat: int, to: int) -> Json:
        """A group becomes a supergroup: two service messages, and the old id is refused from now on."""
        old, new = self._state.chat(chat), self._state.chat(to)
        new.about["title"] = old.about.get("title", "Group")
        founder = {"from": self.user(abs(chat))}
        first = self._told("message", self._state.new_message(old, {**founder, "migrate_to_chat_id": to}))
        self._told("message", self._state.new_message(new, {**founder, "migrate_from_chat_id": chat}))
        old.migrated_to = to
        return first

    def deletes(self, chat: int, message: int) -> None:
        """Someone removes a message for everybody; bots are not told."""
        self._state.chats[chat].messages.pop(message, None)

    def happens(self, kind: str, payload: Json, *, update_id: int | None = None) -> Json:
        """Any update at all."""
        return {"update_id": self._state.push(kind, payload, update_id=update_id)}

    def redelivers(self, update_id: int, *, fresh_id: bool = False) -> Json:
        """Telegram sends an update again.

        With its old id (what a webhook sees after a lost answer, and a poll when the offset was lost), or under a new
        one: ids start anew at random after a quiet week, so the message itself has to be recognised.
        """
        stored = self._state.updates[update_id]
        kind = next(key for key in stored.update if key != "update_id")
        if fresh_id:
            return {"update_id": self._state.push(kind, stored.update[kind])}
        self._state.pending.append(update_id)
        self._state.touch()
        return {"update_id": update_id}

    def _told(self, kind: str, message: Json) -> Json:
        update_id = self._state.push(kind, public(message))
        return {"message_id": message["message_id"], "update_id": update_id, "date": message["date"]}

    def _unbar(self, room: Chat) -> None:
        if room.barred == "bot was blocked by the user":
            room.barred = ""

    def _membership(self, room: Chat, before: str, after: str) -> Json:
        me = self._state.me
        payload = {
            "chat": room.card,
            "from": self.user(abs(room.id)),
            "date": int(time.time()),
            "old_chat_member": _member(me, before),
            "new_chat_member": _member(me, after),
        }
        return {"update_id": self._state.push("my_chat_member", payload)}


def _member(me: Json, status: str) -> Json:
    until = {"until_date": 0} if status == "kicked" else {}
    return {"user": {key: me[key] for key in ("id", "is_bot", "first_name", "username")}, "status": status, **until}
