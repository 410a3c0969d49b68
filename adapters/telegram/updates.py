"""What we read of the Bot API's updates: fields by their own names, everything else left alone.

Sizes are bounded to what the database takes; text is made storable without moving a UTF-16 offset.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import pydantic

Id: TypeAlias = Annotated[int, pydantic.Field(ge=-(2**63), lt=2**63)]
Timestamp: TypeAlias = Annotated[int, pydantic.Field(ge=0, lt=2**34)]
"""Seconds since 1970."""


def _storable(value: object) -> object:
    """Half a surrogate pair can not be written as UTF-8, and PostgreSQL takes no NUL; each becomes one other unit."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
    return value


Words: TypeAlias = Annotated[str, pydantic.BeforeValidator(_storable)]


class _Received(pydantic.BaseModel):
    # Customers' words must not come back in an error's text.
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class User(_Received):
    id: Id
    is_bot: bool = False
    first_name: Words = ""
    last_name: Words = ""
    username: Words = ""
    language_code: Words = ""


class Chat(_Received):
    id: Id
    type: Words
    title: Words = ""

    @property
    def private(self) -> bool:
        return self.type == "private"


class Entity(_Received):
    type: Words
    offset: Annotated[int, pydantic.Field(ge=0, lt=2**31)]
    """In UTF-16 code units, as `length`."""
    length: Annotated[int, pydantic.Field(ge=0, lt=2**31)]
    user: User | None = None


class TextQuote(_Received):
    text: Words


ATTACHMENTS = {
    "photo": "photo",
    "voice": "voice",
    "audio": "audio",
    "video": "video",
    "video_note": "video",
    "animation": "video",
    "sticker": "sticker",
    "dice": "sticker",
    "contact": "contact",
    "venue": "location",
    "location": "location",
    "poll": "poll",
    "story": "story",
    "paid_media": "photo",
    "checklist": "checklist",
    "document": "file",
}
"""Fields of a message that hold what can not be read, by the kind the core knows them as."""
# An animation comes with a document of the same file, a venue with its location.
_SHADOWED = {"document": "animation", "location": "venue"}


class Message(_Received):
    message_id: Id
    date: Timestamp
    chat: Chat
    sender: Annotated[User | None, pydantic.Field(alias="from")] = None
    sender_chat: Chat | None = None
    author_signature: Words = ""
    via_bot: User | None = None
    message_thread_id: Id | None = None
    is_topic_message: bool = False
    is_automatic_forward: bool = False
    edit_date: Timestamp | None = None
    media_group_id: Words = ""
    text: Words = ""
    caption: Words = ""
    entities: tuple[Entity, ...] = ()
    caption_entities: tuple[Entity, ...] = ()
    reply_to_message: Message | None = None
    quote: TextQuote | None = None
    forum_topic_created: Any = None
    migrate_to_chat_id: Id | None = None
    attachments: tuple[str, ...] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _name_attachments(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        there = [name for name in ATTACHMENTS if data.get(name) and not data.get(_SHADOWED.get(name, ""))]
        return {**data, "attachments": tuple(ATTACHMENTS[name] for name in there)}

    @property
    def words(self) -> str:
        return self.text or self.caption

    @property
    def marks(self) -> tuple[Entity, ...]:
        """The entities of `words`."""
        return self.entities if self.text else self.caption_entities

    @property
    def thread(self) -> str:
        """The forum topic. The field is also set on plain replies outside forums, where it names no topic."""
        return str(self.message_thread_id) if self.is_topic_message and self.message_thread_id is not None else ""


class CallbackQuery(_Received):
    id: Words
    sender: Annotated[User, pydantic.Field(alias="from")]
    data: Words = ""
    message: Message | None = None
    """Of an InaccessibleMessage only chat and id are true; its date is 0."""


class ChatMember(_Received):
    status: Words
    is_member: bool = True


class ChatMemberUpdated(_Received):
    chat: Chat
    sender: Annotated[User, pydantic.Field(alias="from")]
    date: Timestamp
    new_chat_member: ChatMember


class MessageGenerationStopped(_Received):
    chat: Chat
    message_thread_id: Id | None = None
    draft_id: Id


class Update(_Received):
    update_id: Id
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: CallbackQuery | None = None
    my_chat_member: ChatMemberUpdated | None = None
    stopped_message_generation: MessageGenerationStopped | None = None


UpdateKind: TypeAlias = Literal[
    "message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation"
]
ALLOWED_UPDATES: tuple[UpdateKind, ...] = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    # Bot API 10.3: the Stop button under a draft. It has to be asked for by name.
    "stopped_message_generation",
)
