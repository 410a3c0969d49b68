"""Buttons, shortcuts, dialogues and slash commands as the core's messages. Pure, as `adapters.slack.parsing`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

import pydantic

from adapters.slack.modals import TICKET_TEXT_BLOCK, TICKET_TEXT_INPUT, TicketAbout
from adapters.slack.payloads import Action, Command, Interaction, sequence_of, time_of
from adapters.slack.reading import COMMANDS, NOWHERE, Place, Reading, conversation, foreign, where
from adapters.slack.texts import read
from bot.messages import Feedback, IncomingMessage, MessageKind

FEEDBACK = "kefu_feedback"
ACT = "kefu_act:"
TICKET_DETAILS = "kefu_ticket_details"
TICKET_SHORTCUT = "kefu_ticket_from_message"
TICKET_FORM = "kefu_ticket_form"

_ACTIONS = frozenset({"ticket", "person", "solved"})
_WITH_VALUE = frozenset({"solved"})
"""Actions whose value is words to the core; that of the others is a turn's id, and no subject for a ticket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A slash command's question, which has no thread to be answered in yet."""

    channel: str
    user: str
    words: str
    kind: Literal[MessageKind.TEXT, MessageKind.COMMAND]
    command: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interacted:
    """What an interaction comes to: a message, a question without a place, something to show, or nothing."""

    place: Place = NOWHERE
    user: str = ""
    name: str = ""
    home: str = ""
    """The person's workspace, where it is another than the one we are installed in."""
    message: IncomingMessage | None = None
    asked: Asked | None = None
    about: TicketAbout | None = None
    """The message a ticket is to be opened from."""
    details: str = ""
    """The number of a ticket that the person wants to see."""
    trigger: str = ""
    """Lets a dialogue be shown to them, for three seconds."""
    usage: bool = False
    """A command without words: they want to know how it is used."""
    ignored: str = ""
    malformed: bool = False


def parse_interaction(data: object, reading: Reading) -> Interacted:
    """Never raises."""
    try:
        call = Interaction.model_validate(data)
    except pydantic.ValidationError as refused:
        return Interacted(malformed=True, ignored=where(refused))
    place = _place(call, reading)
    if not call.user.id:
        return Interacted(malformed=True, ignored="user.id: missing")
    match call.type:
        case "block_actions":
            return _pressed(call, place, reading)
        case "message_action":
            return _shortcut(call, place, reading)
        case "view_submission":
            return _submitted(call, place, reading)
    return Interacted(place=place, ignored="a kind of interaction that says nothing to us")


def parse_command(data: object, reading: Reading) -> Interacted:
    """Never raises."""
    try:
        call = Command.model_validate(data)
    except pydantic.ValidationError as refused:
        return Interacted(malformed=True, ignored=where(refused))
    if not call.user_id or not call.channel_id or not call.trigger_id:
        return Interacted(malformed=True, ignored="user_id: missing")
    organisation = call.enterprise_id if call.is_enterprise_install == "true" else ""
    account = reading.account(organisation or call.team_id)
    place = Place(account=account, workspace=call.team_id, enterprise=call.enterprise_id, me=reading.me(account))
    common = Interacted(place=place, user=call.user_id, name=call.user_name)
    words = read(call.text, me=place.me, name_of=lambda user: reading.name_of(account, user)).text
    name = call.command.removeprefix("/").lower()
    command = name if name in COMMANDS else ""
    if not words and not command:
        return replace(common, usage=True, ignored="without words")
    asked = Asked(
        channel=call.channel_id,
        user=call.user_id,
        words=words,
        kind=MessageKind.COMMAND if command else MessageKind.TEXT,
        command=command,
        key=f"cmd:{call.trigger_id}",
    )
    return replace(common, asked=asked)


def message_of(asked: Asked, place: Place, name: str, channel: str, thread: str, reading: Reading) -> IncomingMessage:
    """The question, once it has a thread."""
    return IncomingMessage(
        keys=(asked.key,),
        conversation=conversation(place, channel, thread),
        sender=reading.sender(place.account, asked.user, name),
        kind=asked.kind,
        text=asked.words,
        sent_at=reading.now,
        sequence=sequence_of(thread) if thread else reading.arrival,
        message_id=thread,
        command=asked.command,
        collections=reading.collections,
        direct=channel.startswith("D"),
    )


def _place(call: Interaction, reading: Reading) -> Place:
    workspace = call.team.id if call.team is not None else ""
    enterprise = call.enterprise.id if call.enterprise is not None else ""
    account = reading.account((enterprise if call.is_enterprise_install else workspace) or call.user.team_id)
    return Place(account=account, workspace=workspace, enterprise=enterprise, me=reading.me(account))


def _pressed(call: Interaction, place: Place, reading: Reading) -> Interacted:
    action = call.actions[0] if call.actions else Action()
    common = Interacted(
        place=place,
        user=call.user.id,
        name=call.user.name or call.user.username,
        home=foreign(call.user.team_id, place),
        trigger=call.trigger_id,
    )
    if action.action_id == TICKET_DETAILS and action.value:
        return replace(common, details=action.value[:200])
    meaning = _meaning(action)
    if meaning is None:
        return replace(common, ignored="a button that is not ours")
    channel = (call.channel.id if call.channel else "") or (call.container.channel_id if call.container else "")
    stamp = call.message.ts if call.message is not None and call.message.ts else ""
    stamp = stamp or (call.container.message_ts if call.container else "")
    if not channel or not stamp:
        return replace(common, ignored="a button under a message of no channel")
    kind, command, text, feedback = meaning
    pressed_at = action.action_ts or call.action_ts
    message = IncomingMessage(
        keys=(f"act:{channel}:{stamp}:{pressed_at or call.trigger_id}",),
        conversation=conversation(place, channel, _thread(call) or stamp),
        sender=reading.sender(place.account, call.user.id, common.name),
        kind=kind,
        text=text,
        command=command,
        feedback=feedback,
        sent_at=time_of(pressed_at) if pressed_at else reading.now,
        sequence=sequence_of(pressed_at) if pressed_at else reading.arrival,
        collections=reading.collections,
        direct=channel.startswith("D"),
    )
    return replace(common, message=message)


def _meaning(
    action: Action,
) -> tuple[Literal[MessageKind.FEEDBACK, MessageKind.ACTION], str, str, Feedback | None] | None:
    if action.action_id == FEEDBACK:
        rating, _, turn = action.value.partition("|")
        if rating not in ("up", "down") or not turn:
            return None
        judgement = Feedback(turn_id=turn[:200], rating="up" if rating == "up" else "down")
        return MessageKind.FEEDBACK, "", "", judgement
    name = action.action_id.removeprefix(ACT)
    if not action.action_id.startswith(ACT) or name not in _ACTIONS:
        return None
    return MessageKind.ACTION, name, action.value[:200] if name in _WITH_VALUE else "", None


def _thread(call: Interaction) -> str:
    inside = call.container.thread_ts if call.container is not None else ""
    return inside or (call.message.thread_ts if call.message is not None else "")


def _shortcut(call: Interaction, place: Place, reading: Reading) -> Interacted:
    common = Interacted(
        place=place,
        user=call.user.id,
        name=call.user.name or call.user.username,
        home=foreign(call.user.team_id, place),
        trigger=call.trigger_id,
    )
    stamp = (call.message.ts if call.message is not None else "") or call.message_ts
    if call.callback_id != TICKET_SHORTCUT:
        return replace(common, ignored="a shortcut that is not ours")
    if call.message is None or call.channel is None or not call.channel.id or not stamp:
        return replace(common, ignored="a shortcut under a message of no channel")
    words = read(call.message.text, me=place.me, name_of=lambda user: reading.name_of(place.account, user)).text
    about = TicketAbout(
        channel=call.channel.id, thread=call.message.thread_ts or stamp, words=words or call.message.quote
    )
    return replace(common, about=about)


def _submitted(call: Interaction, place: Place, reading: Reading) -> Interacted:
    common = Interacted(
        place=place,
        user=call.user.id,
        name=call.user.name or call.user.username,
        home=foreign(call.user.team_id, place),
    )
    view = call.view
    if view is None or view.callback_id != TICKET_FORM:
        return replace(common, ignored="a dialogue that is not ours")
    about = TicketAbout.from_metadata(view.private_metadata)
    words = _written(view.state)
    if about is None or not words:
        return replace(common, malformed=True, ignored="view: not as we made it")
    message = IncomingMessage(
        keys=(f"view:{view.id}:{view.hash}",),
        conversation=conversation(place, about.channel, about.thread),
        sender=reading.sender(place.account, call.user.id, common.name),
        kind=MessageKind.COMMAND,
        command="ticket",
        text=words,
        sent_at=reading.now,
        sequence=reading.arrival,
        collections=reading.collections,
        direct=about.channel.startswith("D"),
    )
    return replace(common, message=message, about=about)


def _written(state: object) -> str:
    """What stands in the dialogue's field."""
    step: object = state
    for name in ("values", TICKET_TEXT_BLOCK, TICKET_TEXT_INPUT, "value"):
        step = step.get(name) if isinstance(step, dict) else None
    return step.strip() if isinstance(step, str) else ""


def decoded_payload(text: str) -> object:
    """The JSON of a form's `payload` field; None where there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
