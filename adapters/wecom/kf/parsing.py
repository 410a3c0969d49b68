"""Items of 微信客服 as what they mean to us. Pure functions; what is not understood is left out with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, cast

import pydantic

from adapters.wecom.cards import pressed
from adapters.wecom.kf.items import ATTACHMENTS, CUSTOMER, SERVICER, SYSTEM, Event, Item, Page
from adapters.wecom.kf.settings import SECTION
from bot.messages import ConversationRef, Feedback, IncomingMessage, MessageKind, Sender

PLATFORM = SECTION
RATE = "kefu_fb"
"""Before the colon of the id of a menu's line that judges an answer; those that act are named as a card's buttons."""

Holder: TypeAlias = Literal["bot", "queue", "person"]
"""Who has a customer: we do, nobody yet (待接入池), or a colleague in WeCom."""

_CHANGES: Mapping[int, Holder] = {1: "person", 2: "person", 3: "bot", 4: "person"}
"""`change_type`: taken from the pool, passed on, ended, taken up again. All of them are done by colleagues."""


class PageUnreadable(Exception):
    """The answer is no page: nothing of it may be believed, the cursor least of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What has to be known to read a page."""

    corp_id: str
    open_kfid: str
    collections: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A customer said or tapped something. Whoever has them is to have it."""

    at: datetime
    message: IncomingMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Since then somebody else has the customer."""

    at: datetime
    conversation: ConversationRef
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A customer opened the chat and has not been welcomed for two days."""

    at: datetime
    conversation: ConversationRef
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A message of ours that WeCom had taken did not reach the customer."""

    conversation: ConversationRef
    msgid: str
    fail_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing to us, and why."""

    reason: str
    malformed: bool = False


Happening: TypeAlias = Said | Changed | Entered | Failed | Ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A page, read."""

    cursor: str
    has_more: bool
    happenings: tuple[Happening, ...]


def read_page(answer: Mapping[str, Any], reading: Reading) -> Read:
    """
    :raises PageUnreadable: it is no page.
    """
    try:
        page = Page.model_validate(answer)
    except pydantic.ValidationError as error:
        raise PageUnreadable(_where(error)) from None
    return Read(
        cursor=page.next_cursor,
        has_more=page.has_more,
        happenings=tuple(_happening(item, reading) for item in page.msg_list or ()),
    )


def conversation_of(reading: Reading, customer: str) -> ConversationRef:
    """Where a customer is spoken to: one account of ours, one person."""
    return ConversationRef(platform=PLATFORM, account=reading.corp_id, channel=reading.open_kfid, thread=customer)


def _happening(raw: object, reading: Reading) -> Happening:
    try:
        item = Item.model_validate(raw)
    except pydantic.ValidationError as error:
        return Ignored(reason=_where(error), malformed=True)
    event = item.event if item.msgtype == "event" else None
    account = item.open_kfid or (event.open_kfid if event is not None else "")
    if account and account != reading.open_kfid:
        return Ignored(reason="another account's", malformed=True)
    customer = item.external_userid or (event.external_userid if event is not None else "")
    if event is not None:
        return _event(item, event, customer, reading)
    if not customer:
        return Ignored(reason="nobody said it", malformed=True)
    conversation = conversation_of(reading, customer)
    if item.origin == CUSTOMER:
        return Said(at=_at(item), message=_message(item, conversation, reading))
    if item.origin == SERVICER:
        return Changed(at=_at(item), conversation=conversation, holder="person")
    return Ignored(reason=f"origin {item.origin}")


def _event(item: Item, event: Event, customer: str, reading: Reading) -> Happening:
    if item.origin not in (0, SYSTEM):
        return Ignored(reason="an event that is not WeCom's", malformed=True)
    if not customer:
        return Ignored(reason=_word(event.event_type))
    conversation = conversation_of(reading, customer)
    match event.event_type:
        case "enter_session" if event.welcome_code:
            return Entered(at=_at(item), conversation=conversation, code=event.welcome_code)
        case "msg_send_fail" if event.fail_msgid:
            return Failed(conversation=conversation, msgid=event.fail_msgid, fail_type=event.fail_type)
        case "session_status_change" if event.change_type in _CHANGES:
            return Changed(at=_at(item), conversation=conversation, holder=_CHANGES[event.change_type])
        case "user_recall_msg" if event.recall_msgid:
            # Withdrawn words are taken out of the question and out of history.
            return Said(at=_at(item), message=_withdrawn(item, event.recall_msgid, conversation, reading))
    return Ignored(reason=_word(event.event_type))


def _message(item: Item, conversation: ConversationRef, reading: Reading) -> IncomingMessage:
    text = item.text if item.msgtype == "text" else None
    if text is not None and (tapped := _tapped(item, text.menu_id, conversation, reading)):
        return tapped
    attachments = () if text is not None else (ATTACHMENTS.get(item.msgtype, _word(item.msgtype)),)
    return _incoming(item, conversation, reading, text=text.content if text else "", attachments=attachments)


def _tapped(item: Item, menu_id: str, conversation: ConversationRef, reading: Reading) -> IncomingMessage | None:
    """A line of a menu of ours; None where its id is not one that we make."""
    if (action := pressed(menu_id)) is not None:
        return _incoming(item, conversation, reading, kind=MessageKind.ACTION, command=action[0], text=action[1])
    kind, _, rest = menu_id.partition(":")
    name, _, value = rest.partition("|")
    if kind == RATE and name in ("up", "down") and value:
        judged = Feedback(turn_id=value, rating=cast("Literal['up', 'down']", name))
        return _incoming(item, conversation, reading, kind=MessageKind.FEEDBACK, feedback=judged)
    return None


def _withdrawn(item: Item, msgid: str, conversation: ConversationRef, reading: Reading) -> IncomingMessage:
    return _incoming(item, conversation, reading, kind=MessageKind.EDIT, message_id=msgid)


def _incoming(item: Item, conversation: ConversationRef, reading: Reading, **about: Any) -> IncomingMessage:
    given: dict[str, Any] = {
        "keys": (f"msg:{conversation.channel}:{item.msgid}",),
        "conversation": conversation,
        "sender": Sender(id=f"{PLATFORM}:{conversation.thread}"),
        "sent_at": _at(item),
        "message_id": item.msgid,
        "collections": reading.collections,
    }
    return IncomingMessage(**(given | about))


def _at(item: Item) -> datetime:
    return datetime.fromtimestamp(item.send_time, UTC)


def _word(name: str) -> str:
    """A name that WeCom gave something, fit for a log line and a column."""
    return name if name.isidentifier() and len(name) <= 40 else "unknown"


def _where(error: pydantic.ValidationError) -> str:
    """The place of a mistake, without what stood there."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))[:100]}: {first['type']}"
