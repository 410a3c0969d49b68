"""Where a call points: channels, threads and messages, as far as its token may see them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.state import APP, Call, Channel, Json, Message, State, Team, Token

METADATA_BYTES = 8_000
_TS = re.compile(r"\d{10}\.\d{6}")


@dataclass(slots=True, kw_only=True)
class Caller:
    """Who asks."""

    token: Token
    team: Team
    call: Call


def channel_of(state: State, caller: Caller, channel_id: str) -> Channel:
    """The channel, for looking.

    :raises Refused: channel_not_found; private channels without the bot do not exist for it.
    """
    channel = state.channels.get(channel_id)
    if channel is None or not _visible(state, caller.team, channel):
        raise Refused("channel_not_found")
    if channel.kind in {"group", "mpim"} and caller.team.bot_user not in channel.members:
        raise Refused("channel_not_found")
    caller.call.channel = channel.id
    return channel


def readable(state: State, caller: Caller, channel_id: str) -> Channel:
    """:raises Refused: channel_not_found, not_in_channel."""
    channel = channel_of(state, caller, channel_id)
    if channel.kind != "im" and caller.team.bot_user not in channel.members:
        raise Refused("not_in_channel")
    return channel


def writable(state: State, caller: Caller, channel_id: str) -> Channel:
    """:raises Refused: channel_not_found, is_archived, not_in_channel."""
    channel = channel_of(state, caller, channel_id)
    if channel.archived:
        raise Refused("is_archived")
    outside = channel.kind != "im" and caller.team.bot_user not in channel.members
    if outside and "chat:write.public" not in caller.token.scopes:
        raise Refused("not_in_channel")
    return channel


def thread_of(channel: Channel, params: Params) -> str:
    """`thread_ts`, "" where there is none.

    Slack takes a reply's ts, or one that never was, and shows the post to nobody; here that is refused, so that a bot
    which does it is found out.

    :raises Refused: invalid_thread_ts, thread_not_found, cannot_reply_to_message.
    """
    thread = params.text("thread_ts")
    if not thread:
        return ""
    if not _TS.fullmatch(thread):
        raise Refused("invalid_thread_ts")
    root = channel.messages.get(thread)
    if root is None:
        raise Refused("thread_not_found")
    if root.deleted and all(message.thread != thread for message in channel.messages.values()):
        raise Refused("thread_not_found")  # with replies a deleted root stays, as a tombstone
    if root.thread:
        raise Refused("cannot_reply_to_message")
    return thread


def own_message(state: State, caller: Caller, channel: Channel, ts: str, refusal: str) -> Message:
    """A message that the caller's bot wrote.

    :raises Refused: message_not_found; `refusal` for somebody else's.
    """
    message = state.find(channel, ts)
    if message is None:
        raise Refused("message_not_found")
    if message.bot != caller.team.bot:
        raise Refused(refusal)
    caller.call.ts, caller.call.thread = message.ts, message.root
    return message


def metadata_of(params: Params) -> Json | None:
    """:raises Refused: invalid_metadata_format, invalid_metadata_schema, metadata_too_large."""
    found: Json | None = params.structure("metadata", dict, "invalid_metadata_format")
    if not found:
        return found
    if not isinstance(found.get("event_type"), str) or not isinstance(found.get("event_payload"), dict):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(found)) > METADATA_BYTES:
        raise Refused("metadata_too_large")
    return found


def public(message: Message, team: str = "", *, metadata: bool = False) -> Json:
    """The message as the API returns it."""
    shown: Json = {"type": "message", "text": message.text, "ts": message.ts}
    if message.user:
        shown["user"] = message.user
    if message.subtype:
        shown["subtype"] = message.subtype
    if message.bot:
        shown |= {"bot_id": message.bot, "app_id": APP}
    if message.team or team:
        shown["team"] = message.team or team
    if message.thread:
        shown |= {"thread_ts": message.thread}
    for name in ("blocks", "files", "edited", "reactions"):
        if value := getattr(message, name):
            shown[name] = value
    if metadata and message.metadata:
        shown["metadata"] = message.metadata
    if message.stream is not None:
        shown["streaming_state"] = "completed" if message.stream.ended else "in_progress"
    return shown


def _visible(state: State, team: Team, channel: Channel) -> bool:
    if team.id in {channel.team, *channel.shared_with}:
        return True
    home = state.teams.get(channel.team)
    return bool(team.org_wide and home and team.enterprise and home.enterprise == team.enterprise)
