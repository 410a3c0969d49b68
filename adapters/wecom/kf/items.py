"""What 微信客服's `sync_msg` answers, as we read it: fields by their own names, everything else left alone.

Sizes are bounded to what the database takes; text is made storable.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import pydantic

CUSTOMER, SYSTEM, SERVICER = 3, 4, 5
"""`origin`: a customer on WeChat; WeCom itself (events); a colleague in the WeCom client."""

ATTACHMENTS: Final = {
    "image": "image",
    "voice": "voice",
    "video": "video",
    "file": "file",
    "location": "location",
    "business_card": "contact",
}
"""What can not be read, by the kind the core knows it as; everything else (a link, a mini program, …) by its own."""


def _storable(value: object) -> object:
    """Half a surrogate pair can not be written as UTF-8, and PostgreSQL takes no NUL; each becomes one character."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
    return value


Words: TypeAlias = Annotated[str, pydantic.BeforeValidator(_storable)]
Id: TypeAlias = Annotated[Words, pydantic.StringConstraints(min_length=1, max_length=128)]
MaybeId: TypeAlias = Annotated[Words, pydantic.StringConstraints(max_length=256)]
Timestamp: TypeAlias = Annotated[int, pydantic.Field(ge=0, lt=2**34)]
"""Seconds since 1970."""


class _Received(pydantic.BaseModel):
    # Customers' words must not come back in an error's text.
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Text(_Received):
    content: Words = ""
    menu_id: MaybeId = ""
    """Of the line of a menu that was tapped; the line's words are the content."""


class Event(_Received):
    event_type: MaybeId = ""
    open_kfid: MaybeId = ""
    external_userid: MaybeId = ""
    welcome_code: MaybeId = ""
    fail_msgid: MaybeId = ""
    fail_type: int = 0
    change_type: int = 0
    recall_msgid: MaybeId = ""


class Item(_Received):
    msgid: Id
    open_kfid: MaybeId = ""
    external_userid: MaybeId = ""
    send_time: Timestamp
    origin: int = 0
    msgtype: MaybeId = ""
    text: Text | None = None
    event: Event | None = None


class Page(_Received):
    next_cursor: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=400)]
    """Where the next page begins. Without one there is no going on, so a page has to have it."""
    has_more: bool = False
    """WeCom sends 0 and 1. May be true of an empty page."""
    msg_list: tuple[Any, ...] | None = None
    """Each is an Item, or unreadable: one bad item must not stop the others."""
