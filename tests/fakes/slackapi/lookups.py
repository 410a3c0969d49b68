"""Methods that only look, and the few small ones that fit nowhere else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller, channel_of, public, readable, writable
from tests.fakes.slackapi.state import APP, Channel, Json, Message, State
from tests.fakes.slackapi.tokens import Tokens

LARGEST_PAGE = 1_000


class Lookups:
    """auth, bots, conversations, files, reactions, team, users."""

    def __init__(self, state: State, tokens: Tokens) -> None:
        self._state = state
        self._tokens = tokens

    def table(self) -> dict[str, Handler]:
        return {
            "auth.test": self._auth_test,
            "auth.revoke": self._auth_revoke,
            "bots.info": self._bot,
            "conversations.history": self._history,
            "conversations.info": self._info,
            "conversations.members": self._members,
            "conversations.open": self._open,
            "conversations.replies": self._replies,
            "files.info": self._file,
            "reactions.add": self._react,
            "reactions.remove": self._unreact,
            "team.info": self._team,
            "users.info": self._user,
        }

    def _auth_test(self, params: Params, caller: Caller) -> Json:
        team = caller.team
        if caller.token.kind == "app":
            return {"app_name": "kefu", "app_id": APP}
        name = self._state.people[team.bot_user].name
        answer: Json = {
            "url": "https://kefu.slack.example/", "team": team.name, "user": name, "team_id": team.id,
            "user_id": team.bot_user, "bot_id": team.bot, "is_enterprise_install": team.org_wide,
        }  # fmt: skip
        return answer | ({"enterprise_id": team.enterprise} if team.enterprise else {})

    def _auth_revoke(self, params: Params, caller: Caller) -> Json:
        if not params.flag("test"):
            caller.token.error = "token_revoked"
        return {"revoked": not params.flag("test")}

    def _bot(self, params: Params, caller: Caller) -> Json:
        asked = params.text("bot", caller.team.bot)
        team = next((one for one in self._state.teams.values() if one.bot == asked), None)
        if team is None:
            raise Refused("bot_not_found")
        return {"bot": {"id": team.bot, "deleted": False, "name": "kefu", "user_id": team.bot_user, "app_id": APP}}

    def _team(self, params: Params, caller: Caller) -> Json:
        asked = params.text("team") or caller.team.id
        team = self._state.teams.get(asked)
        if team is None:
            raise Refused("team_not_found")
        about: Json = {"id": team.id, "name": team.name, "domain": "kefu"}
        return {"team": about | ({"enterprise_id": team.enterprise} if team.enterprise else {})}

    def _user(self, params: Params, caller: Caller) -> Json:
        person = self._state.people.get(params.required("user"))
        if person is None:
            raise Refused("user_not_found")
        shown: Json = {
            "id": person.id, "team_id": person.team, "name": person.name, "real_name": person.name, "deleted": False,
            "is_bot": person.is_bot, "is_restricted": False, "is_ultra_restricted": False, "tz": "Asia/Shanghai",
            "is_stranger": person.is_stranger, "is_app_user": person.is_bot, "updated": int(self._state.clock.now()),
            "profile": {"display_name": person.name, "real_name": person.name, "team": person.team},
        }  # fmt: skip
        if params.flag("include_locale"):
            shown["locale"] = person.locale
        return {"user": shown | person.about}

    def _info(self, params: Params, caller: Caller) -> Json:
        channel = channel_of(self._state, caller, params.required("channel"))
        self._tokens.judge_kind(caller.token, "conversations.info", channel.kind)
        return {"channel": about(channel, caller)}

    def _members(self, params: Params, caller: Caller) -> Json:
        channel = readable(self._state, caller, params.required("channel"))
        found = sorted(channel.members | ({channel.user} if channel.user else set()))
        return {"members": found, "response_metadata": {"next_cursor": ""}}

    def _open(self, params: Params, caller: Caller) -> Json:
        if params.has("channel"):
            channel = channel_of(self._state, caller, params.text("channel"))
        else:
            users = params.required("users").split(",")
            if any(user not in self._state.people for user in users):
                raise Refused("user_not_found")
            if len(users) > 1:
                raise Refused("not_enough_users")
            if self._state.people[users[0]].is_bot:
                raise Refused("cannot_dm_bot")
            channel = self._state.direct(users[0], caller.team.id)
        return {"channel": about(channel, caller) if params.flag("return_im") else {"id": channel.id}}

    def _history(self, params: Params, caller: Caller) -> Json:
        channel = readable(self._state, caller, params.required("channel"))
        self._tokens.judge_kind(caller.token, "conversations.history", channel.kind)
        top = [one for one in channel.messages.values() if not one.thread or one.subtype == "thread_broadcast"]
        return self._page(channel, sorted(top, key=lambda one: one.ts, reverse=True), params, 100)

    def _replies(self, params: Params, caller: Caller) -> Json:
        channel = readable(self._state, caller, params.required("channel"))
        self._tokens.judge_kind(caller.token, "conversations.replies", channel.kind)
        ts = params.required("ts")
        if self._state.find(channel, ts) is None:
            raise Refused("thread_not_found")
        caller.call.thread = ts
        thread = [one for one in channel.messages.values() if ts in {one.ts, one.thread}]
        return self._page(channel, sorted(thread, key=lambda one: one.ts), params, LARGEST_PAGE)

    def _page(self, channel: Channel, found: Sequence[Message], params: Params, default: int) -> Json:
        limit = params.number("limit", default)
        if not 1 <= limit <= LARGEST_PAGE:
            raise Refused("invalid_limit")
        oldest, latest = params.text("oldest", "0"), params.text("latest")
        inclusive = params.flag("inclusive")
        within = [
            one for one in found
            if not one.deleted and (one.ts > oldest or (inclusive and one.ts == oldest))
            and (not latest or one.ts < latest or (inclusive and one.ts == latest))
        ]  # fmt: skip
        start = _position(params.text("cursor"))
        metadata = params.flag("include_all_metadata")
        page = [self._shown(channel, one, metadata) for one in within[start : start + limit]]
        more = start + limit < len(within)
        cursor = base64.b64encode(f"next_ts:{start + limit}".encode()).decode() if more else ""
        return {"messages": page, "has_more": more, "response_metadata": {"next_cursor": cursor}}

    def _shown(self, channel: Channel, message: Message, metadata: bool) -> Json:
        shown = public(message, metadata=metadata)
        replies = [one.ts for one in channel.messages.values() if one.thread == message.ts and not one.deleted]
        if replies:
            shown |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": max(replies)}
        return shown

    def _file(self, params: Params, caller: Caller) -> Json:
        found = self._state.files.get(params.required("file"))
        if found is None:
            raise Refused("file_not_found")
        return {"file": {key: value for key, value in found.items() if key != "file_access"}}

    def _react(self, params: Params, caller: Caller) -> Json:
        message = self._reacted(params, caller)
        name = params.required("name").strip(":")
        if any(one["name"] == name and caller.team.bot_user in one["users"] for one in message.reactions):
            raise Refused("already_reacted")
        message.reactions.append({"name": name, "users": [caller.team.bot_user], "count": 1})
        self._state.touch()
        return {}

    def _unreact(self, params: Params, caller: Caller) -> Json:
        message = self._reacted(params, caller)
        name = params.required("name").strip(":")
        mine = [one for one in message.reactions if one["name"] == name and caller.team.bot_user in one["users"]]
        if not mine:
            raise Refused("no_reaction")
        message.reactions.remove(mine[0])
        return {}

    def _reacted(self, params: Params, caller: Caller) -> Message:
        channel = writable(self._state, caller, params.required("channel"))
        message = self._state.find(channel, params.required("timestamp"))
        if message is None:
            raise Refused("message_not_found")
        return message


def about(channel: Channel, caller: Caller) -> Json:
    """The conversation as the API returns it."""
    shown: Json = {
        "id": channel.id, "is_channel": channel.kind == "channel", "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim", "is_private": channel.kind != "channel", "is_archived": channel.archived,
        "is_member": caller.team.bot_user in channel.members, "context_team_id": channel.team,
        "is_ext_shared": bool(channel.shared_with),
    }  # fmt: skip
    return shown | ({"user": channel.user} if channel.user else {"name": channel.name})


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next_ts:"))
    except (ValueError, binascii.Error):
        raise Refused("invalid_cursor") from None


def unknown_method(method: str) -> Refused:
    """What Slack says to methods it does not have."""
    return Refused("unknown_method", req_method=method)
