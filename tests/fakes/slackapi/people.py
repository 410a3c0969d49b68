"""What people do in the fake Slack: each deed becomes the events a bot would see."""

from __future__ import annotations

import uuid
from typing import Any

from tests.fakes.slackapi.events import Events
from tests.fakes.slackapi.places import public
from tests.fakes.slackapi.state import TEAM, Channel, Json, Message, State, Team
from tests.fakes.slackapi.streams import Streams
from tests.fakes.slackapi.tokens import Tokens


class People:
    """Deeds that become events. Every method returns what a test needs to go on."""

    def __init__(self, state: State, events: Events, streams: Streams, tokens: Tokens) -> None:
        self._state = state
        self._events = events
        self._streams = streams
        self._tokens = tokens

    # -- Places --

    def opens_channel(self, channel: str, *, team: str = TEAM, member: bool = True, **about: Any) -> str:
        """Makes the channel known without an event. `about` sets fields, e.g. kind="mpim", archived=True,
        shared_with={"T9"}."""
        found = self._state.channel(channel, team=team, member=member)
        for name, value in about.items():
            setattr(found, name, set(value) if name in {"members", "shared_with"} else value)
        return found.id

    def opens_dm(self, user: str, *, team: str = TEAM) -> str:
        """The id of the direct messages between this person and the bot."""
        self._state.person(user, team=team)
        return self._state.direct(user, team).id

    def knows(self, user: str, *, team: str = TEAM, name: str = "", **about: Any) -> str:
        """Makes a person known, e.g. locale="en-US", about={"is_restricted": True}."""
        return self._state.person(user, team=team, name=name, **about).id

    def archives(self, channel: str) -> None:
        self._state.channels[channel].archived = True

    def removes_bot(self, channel: str) -> None:
        """The bot is no longer a member."""
        room = self._state.channels[channel]
        room.members.discard(self._state.team(room.team).bot_user)

    # -- Writing --

    def says(
        self,
        channel: str,
        text: str = "",
        *,
        user: str = "",
        thread: str = "",
        files: list[Json] | None = None,
        subtype: str = "",
        event_id: str = "",
        team: str = TEAM,
        extra: Json | None = None,
    ) -> Json:
        """Somebody writes; with `<@bot>` in a channel two events go out, `message` and its twin `app_mention`.

        `text` is as Slack sends it: `<@U…>` for mentions, `&lt;` `&gt;` `&amp;` for the three characters. Where the bot
        is no member it hears nothing.

        A person of another workspace (made with `knows(user, team="T9", is_stranger=True)`) writes through Slack
        Connect. Returns ts, thread (its root) and event_ids.
        """
        room, home = self._room(channel, user, team)
        author = user or room.user or "U1"
        person = self._state.people.get(author) or self._state.person(author, team=home.id)
        message = Message(
            ts=self._state.new_ts(), user=author, text=text, thread=thread, team=person.team,
            subtype=subtype or ("file_share" if files else ""), files=[self._upload(one, home) for one in files or []],
        )  # fmt: skip
        room.members.add(author)
        self._state.file(room, message)
        fields = self._author(person.team, home) | _typed(text) | (extra or {})
        if thread:
            fields["parent_user_id"] = room.messages[thread].user
        if message.subtype == "thread_broadcast":
            fields["root"] = public(room.messages[thread])
        event_ids = self._tell(room, message, home, fields, event_id)
        return {"ts": message.ts, "thread": message.root, "event_ids": event_ids}

    def _tell(self, room: Channel, message: Message, home: Team, fields: Json, event_id: str) -> list[str]:
        sent: list[str] = []
        inner = public(message, message.team) | fields | {"channel": room.id, "event_ts": message.ts}
        if home.bot_user not in room.members and room.kind != "im":
            return sent
        sent += self._events.send(inner | {"channel_type": room.kind}, home, channel=room, event_id=event_id)
        if f"<@{home.bot_user}>" in message.text and room.kind != "im":
            sent += self._events.send(inner | {"type": "app_mention"}, home, channel=room)
        return sent

    def mentions(self, channel: str, text: str, **about: Any) -> Json:
        """`says`, with the bot's mention in front."""
        room, home = self._room(channel, str(about.get("user", "")), str(about.get("team", TEAM)))
        return self.says(room.id, f"<@{home.bot_user}> {text}", **about)

    def bot_says(self, channel: str, text: str, *, bot: str = "BOTHER", thread: str = "", user: str = "") -> Json:
        """Another app posts: `bot_message` without `user`, or with `user` as newer apps do, without a subtype."""
        room, home = self._room(channel, "", TEAM)
        message = Message(
            ts=self._state.new_ts(), user=user, text=text, thread=thread, bot=bot, team=home.id,
            subtype="" if user else "bot_message",
        )  # fmt: skip
        self._state.file(room, message)
        fields: Json = {"username": "other bot", "app_id": "AOTHER", "bot_profile": {"id": bot, "app_id": "AOTHER"}}
        return {"ts": message.ts, "event_ids": self._tell(room, message, home, fields, "")}

    def edits(self, channel: str, ts: str, text: str) -> Json:
        """The author changes a message."""
        room = self._state.channels[channel]
        message = room.messages[ts]
        before = public(message)
        message.text = text
        message.edited = {"user": message.user, "ts": self._state.new_ts()}
        return {"event_ids": self._events.edited(room, message, before, self._home(room))}

    def unfurls(self, channel: str, ts: str) -> Json:
        """Slack adds a preview to a link: a `message_changed` without `edited`."""
        room = self._state.channels[channel]
        message = room.messages[ts]
        return {"event_ids": self._events.edited(room, message, public(message), self._home(room))}

    def deletes(self, channel: str, ts: str) -> Json:
        room = self._state.channels[channel]
        room.messages[ts].deleted = True
        return {"event_ids": self._events.deleted(room, room.messages[ts], self._home(room))}

    def joins(self, channel: str, user: str) -> Json:
        """`channel_join` in the channel, and `member_joined_channel` beside it."""
        room, home = self._room(channel, user, TEAM)
        room.members.add(user)
        told = self.says(channel, f"<@{user}> has joined the channel", user=user, subtype="channel_join")
        event: Json = {
            "type": "member_joined_channel", "user": user, "channel": channel, "channel_type": channel[:1],
            "team": home.id, "event_ts": told["ts"],
        }  # fmt: skip
        return told | {"event_ids": told["event_ids"] + self._events.send(event, home)}

    def reacts(self, channel: str, ts: str, name: str, *, user: str = "U1") -> Json:
        room = self._state.channels[channel]
        item = {"type": "message", "channel": channel, "ts": ts}
        event: Json = {
            "type": "reaction_added", "user": user, "reaction": name, "item": item,
            "item_user": room.messages[ts].user, "event_ts": self._state.new_ts(),
        }  # fmt: skip
        return {"event_ids": self._events.send(event, self._home(room))}

    # -- The app --

    def opens_home(self, user: str, *, tab: str = "home", team: str = TEAM) -> Json:
        """`app_home_opened` with the tab home or messages."""
        home = self._state.team(team)
        self._state.person(user, team=team)
        event: Json = {
            "type": "app_home_opened", "user": user, "channel": self._state.direct(user, team).id, "tab": tab,
            "event_ts": self._state.new_ts(),
        }  # fmt: skip
        if (team, user) in self._state.homes:
            shown = self._state.homes[team, user]
            event["view"] = {key: value for key, value in shown.items() if not key.startswith("_")}
        return {"event_ids": self._events.send(event, home)}

    def stops(self, channel: str, thread: str, *, user: str = "U1") -> Json:
        """Somebody presses Stop in a thread: its streams end, and the bot is told which.

        :raises LookupError: no Stop is to be seen, as the session is not `processing` and nothing streams.
        """
        room = self._state.channels[channel]
        ended = self._streams.presses_stop(room, thread)
        if not ended and room.sessions.get(thread, {}).get("status") != "processing":
            raise LookupError(f"no Stop in {channel} {thread}")
        event: Json = {
            "type": "agent_session_stopped", "channel": channel, "thread_ts": thread, "user": user,
            "streaming_message_ts": ended, "event_ts": self._state.new_ts(),
        }  # fmt: skip
        return {"streams": ended, "event_ids": self._events.send(event, self._home(room))}

    def uninstalls(self, *, team: str = TEAM) -> Json:
        """The app goes: `tokens_revoked` and `app_uninstalled`, and every call with the old token fails."""
        home = self._state.team(team)
        self._tokens.ends("account_inactive", team=team)
        sent = self._events.send({"type": "app_uninstalled", "event_ts": self._state.new_ts()}, home)
        tokens = {"oauth": [], "bot": [home.bot_user]}
        event: Json = {"type": "tokens_revoked", "tokens": tokens, "event_ts": self._state.new_ts()}
        return {"event_ids": sent + self._events.send(event, home)}

    def revokes(self, *, team: str = TEAM) -> Json:
        """An admin revokes the bot's tokens."""
        home = self._state.team(team)
        self._tokens.ends("token_revoked", team=team)
        event: Json = {
            "type": "tokens_revoked", "tokens": {"oauth": [], "bot": [home.bot_user]},
            "event_ts": self._state.new_ts(),
        }  # fmt: skip
        return {"event_ids": self._events.send(event, home)}

    def happens(self, event: Json, *, team: str = TEAM, channel: str = "") -> Json:
        """Any other event, as given; `event_ts` is added."""
        room = self._state.channels[channel] if channel else None
        sent = self._events.send({"event_ts": self._state.new_ts(), **event}, self._state.team(team), channel=room)
        return {"event_ids": sent}

    # -- Inside --

    def _room(self, channel: str, user: str, team: str) -> tuple[Channel, Team]:
        home = self._state.team(self._state.channels[channel].team if channel in self._state.channels else team)
        return self._state.channel(channel, team=home.id, user=user), home

    def _home(self, room: Channel) -> Team:
        return self._state.team(room.team)

    def _author(self, team: str, home: Team) -> Json:
        """`event.team` is the author's, which over Slack Connect is not the one the app is installed in."""
        if team == home.id:
            return {"team": team}
        return {"team": team, "user_team": team, "source_team": team, "user_profile": {"team": team}}

    def _upload(self, file: Json, home: Team) -> Json:
        name = file.get("name", "file.bin")
        file_id = file.get("id") or self._state.new_id("F")
        link = f"https://files.slack.example/files-pri/{home.id}-{file_id}/{name}"
        made: Json = {
            "id": file_id, "name": name, "title": name, "mimetype": "application/octet-stream", "filetype": "binary",
            "size": 0, "mode": "hosted", "is_external": False, "url_private": link, "url_private_download": link,
        } | file  # fmt: skip
        self._state.files[file_id] = made
        return made


def _typed(text: str) -> Json:
    """What Slack's own apps add to what a person types."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    rich = {"type": "rich_text", "block_id": "typed", "elements": [section]}
    return {"client_msg_id": str(uuid.uuid4())} | ({"blocks": [rich]} if text else {})
