"""What we read of Slack's payloads: fields by their own names, everything else left alone.

Slack adds fields and kinds all the time, so everything is optional here and what is missing is empty; a value of
another type than Slack's makes the payload unreadable. Sizes are bounded to what the database takes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import pydantic

from adapters.slack.texts import storable

Words: TypeAlias = Annotated[str, pydantic.AfterValidator(storable)]


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


Id: TypeAlias = Annotated[
    str, pydantic.BeforeValidator(_none_is_empty), pydantic.Field(pattern=r"^[A-Za-z0-9_.:-]{0,100}$")
]
"""A name Slack has given; "" for none."""
Stamp: TypeAlias = Annotated[
    str, pydantic.BeforeValidator(_none_is_empty), pydantic.Field(pattern=r"^([0-9]{1,11}\.[0-9]{1,6})?$")
]
"""A message's number and time, "1790000000.000100"; "" for none."""
Text: TypeAlias = Annotated[Words, pydantic.BeforeValidator(_none_is_empty)]


def sequence_of(stamp: str) -> int:
    """Microseconds since 1970: the order of messages in a channel."""
    seconds, _, fraction = stamp.partition(".")
    return int(seconds) * 1_000_000 + int(fraction.ljust(6, "0"))


def time_of(stamp: str) -> datetime:
    return datetime.fromtimestamp(sequence_of(stamp) / 1_000_000, UTC)


class _Received(pydantic.BaseModel):
    # People's words must not come back in an error's text.
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Authorization(_Received):
    enterprise_id: Id = ""
    team_id: Id = ""
    user_id: Id = ""
    is_bot: bool = False
    is_enterprise_install: bool | None = False


class File(_Received):
    mimetype: Text = ""
    subtype: Text = ""

    @property
    def kind(self) -> str:
        """As the core knows it."""
        if self.subtype == "slack_audio":
            return "voice"
        first = self.mimetype.partition("/")[0]
        return {"image": "photo", "audio": "audio", "video": "video"}.get(first, "file")


class Shared(_Received):
    """An attachment: a link's preview, or a message that was passed on."""

    is_share: bool | None = False
    is_msg_unfurl: bool | None = False
    text: Text = ""


class Edited(_Received):
    user: Id = ""
    ts: Stamp = ""


class Profile(_Received):
    display_name: Text = ""
    real_name: Text = ""


class Message(_Received):
    """A message, alone in an event or inside `message_changed`."""

    subtype: Id = ""
    user: Id = ""
    bot_id: Id = ""
    text: Text = ""
    ts: Stamp = ""
    thread_ts: Stamp = ""
    parent_user_id: Id = ""
    edited: Edited | None = None
    files: tuple[File, ...] | None = ()
    attachments: tuple[Shared, ...] | None = ()
    team: Id = ""
    user_team: Id = ""
    source_team: Id = ""
    user_profile: Profile | None = None
    hidden: bool | None = False

    @property
    def quote(self) -> str:
        """The words of a message that was passed on with this one."""
        return "\n".join(shared.text for shared in self.attachments or () if shared.is_share and shared.text)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(file.kind for file in self.files or ())

    @property
    def home(self) -> str:
        """The workspace of who wrote it; "" where Slack does not say."""
        return self.user_team or self.source_team or self.team


class ChannelOrId(_Received):
    id: Id = ""


def _channel(value: object) -> object:
    """Some events name a channel by its id, others bring the whole channel."""
    return value.get("id", "") if isinstance(value, dict) else _none_is_empty(value)


class Event(Message):
    """The inner event of the Events API."""

    type: Id
    channel: Annotated[Id, pydantic.BeforeValidator(_channel)] = ""
    channel_type: Id = ""
    event_ts: Stamp = ""
    message: Message | None = None
    previous_message: Message | None = None
    tab: Id = ""
    old_channel_id: Id = ""
    new_channel_id: Id = ""
    # Of `tokens_revoked`.
    tokens: dict[str, Any] | None = None

    @pydantic.field_validator("message", "previous_message", mode="before")
    @classmethod
    def _only_messages(cls, value: object) -> object:
        return value if isinstance(value, dict) else None


class EventCall(_Received):
    """The envelope of the Events API."""

    team_id: Id = ""
    enterprise_id: Id = ""
    context_team_id: Id = ""
    is_ext_shared_channel: bool | None = False
    event_id: Id = ""
    authorizations: tuple[Authorization, ...] | None = ()
    event: Event


class Named(_Received):
    id: Id = ""
    team_id: Id = ""
    name: Text = ""
    username: Text = ""


class Container(_Received):
    message_ts: Stamp = ""
    thread_ts: Stamp = ""
    channel_id: Id = ""


class Action(_Received):
    action_id: Text = ""
    action_ts: Stamp = ""
    value: Text = ""


class View(_Received):
    id: Id = ""
    hash: Id = ""
    callback_id: Text = ""
    private_metadata: Text = ""
    state: dict[str, Any] | None = None


class Interaction(_Received):
    """A pressed button, a used shortcut, a submitted dialogue."""

    type: Id
    team: Named | None = None
    enterprise: Named | None = None
    user: Named = Named()
    is_enterprise_install: bool | None = False
    channel: Named | None = None
    message: Message | None = None
    container: Container | None = None
    actions: tuple[Action, ...] | None = ()
    action_ts: Stamp = ""
    message_ts: Stamp = ""
    callback_id: Text = ""
    trigger_id: Id = ""
    view: View | None = None


class Command(_Received):
    """A slash command."""

    command: Text
    text: Text = ""
    team_id: Id = ""
    enterprise_id: Id = ""
    is_enterprise_install: Text = ""
    channel_id: Id = ""
    user_id: Id = ""
    user_name: Text = ""
    trigger_id: Id = ""
