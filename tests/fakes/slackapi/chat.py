"""chat.*, but for the streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller, metadata_of, own_message, public, readable, thread_of, writable
from tests.fakes.slackapi.state import Channel, Json, Message, State

Handler = Callable[[Params, Caller], Json]
TEXT_LIMIT = 40_000
"""chat.postMessage cuts longer texts, without a word."""
UPDATE_LIMIT = 4_000
"""chat.update refuses longer texts."""
MARKDOWN_LIMIT = 12_000


class Echo(Protocol):
    """Whoever must hear what the bot wrote: Slack sends an app its own messages as events."""

    def posted(self, channel: Channel, message: Message) -> None: ...

    def changed(self, channel: Channel, message: Message, before: Json) -> None: ...

    def removed(self, channel: Channel, message: Message) -> None: ...


class Chat:
    """Posts, edits, deletions."""

    def __init__(self, state: State, echo: Echo) -> None:
        self._state = state
        self._echo = echo

    def table(self) -> dict[str, Handler]:
        return {
            "chat.postMessage": self._post,
            "chat.postEphemeral": self._ephemeral,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.getPermalink": self._permalink,
        }

    def _post(self, params: Params, caller: Caller) -> Json:
        channel = self._target(params, caller)
        text, blocks = content(params)
        message = Message(
            ts=self._state.new_ts(), user=caller.team.bot_user, bot=caller.team.bot, team=caller.team.id,
            text=text[:TEXT_LIMIT], blocks=blocks, thread=thread_of(channel, params), metadata=metadata_of(params),
            arguments=params.raw,
        )  # fmt: skip
        if message.thread and params.flag("reply_broadcast"):
            message.subtype = "thread_broadcast"
        self.file(channel, message)
        caller.call.ts = message.ts
        shown = public(message, metadata=True)
        return {"channel": channel.id, "ts": message.ts, "message": shown}

    def file(self, channel: Channel, message: Message) -> None:
        """Puts a message of the bot there: a status that was shown in its thread goes."""
        self._state.file(channel, message)
        channel.statuses.pop(message.root, None)
        self._echo.posted(channel, message)

    def _ephemeral(self, params: Params, caller: Caller) -> Json:
        channel = writable(self._state, caller, params.required("channel"))
        reader = params.required("user")
        if reader not in self._state.people:
            raise Refused("user_not_in_channel")
        text, blocks = content(params)
        message = Message(
            ts=self._state.new_ts(), user=caller.team.bot_user, bot=caller.team.bot, text=text, blocks=blocks,
            thread=thread_of(channel, params), seen_by=reader, arguments=params.raw,
        )  # fmt: skip
        channel.ephemeral.append(message)
        self._state.touch()
        return {"message_ts": message.ts}

    def _update(self, params: Params, caller: Caller) -> Json:
        channel = writable(self._state, caller, params.required("channel"))
        message = own_message(self._state, caller, channel, params.required("ts"), "cant_update_message")
        if message.stream is not None and not message.stream.ended:
            raise Refused("streaming_state_conflict")
        if len(params.text("text")) > UPDATE_LIMIT:
            raise Refused("msg_too_long")
        text, blocks = content(params)
        before = public(message)
        if message.stream is None and "blocks" not in params.raw and not params.has("markdown_text"):
            blocks = message.blocks  # what is not named stays
        message.stream = None
        message.text, message.blocks = text, blocks
        if "metadata" in params.raw:
            message.metadata = metadata_of(params) or None
        message.edited = {"user": caller.team.bot_user, "ts": self._state.new_ts()}
        message.arguments = params.raw
        self._state.touch()
        self._echo.changed(channel, message, before)
        return {"channel": channel.id, "ts": message.ts, "text": text, "message": public(message, metadata=True)}

    def _delete(self, params: Params, caller: Caller) -> Json:
        channel = writable(self._state, caller, params.required("channel"))
        message = own_message(self._state, caller, channel, params.required("ts"), "cant_delete_message")
        if message.stream is not None and not message.stream.ended:
            raise Refused("cant_delete_message")
        message.deleted = True
        self._state.touch()
        self._echo.removed(channel, message)
        return {"channel": channel.id, "ts": message.ts}

    def _permalink(self, params: Params, caller: Caller) -> Json:
        channel = readable(self._state, caller, params.required("channel"))
        ts = params.required("message_ts")
        if self._state.find(channel, ts) is None:
            raise Refused("message_not_found")
        link = f"https://kefu.slack.example/archives/{channel.id}/p{ts.replace('.', '')}"
        return {"channel": channel.id, "permalink": link}

    def _target(self, params: Params, caller: Caller) -> Channel:
        """A channel, or a person: then it is the direct messages."""
        name = params.required("channel")
        if name in self._state.people:
            return self._state.direct(name, caller.team.id)
        return writable(self._state, caller, name)


def content(params: Params) -> tuple[str, list[Json]]:
    """Text and blocks of a post; `markdown_text` becomes the block that it is.

    :raises Refused: no_text, msg_too_long, markdown_text_conflict, invalid_blocks, …
    """
    text = params.text("text")
    blocks = params.structure("blocks", list, "invalid_blocks_format")
    if params.has("markdown_text"):
        markdown = params.text("markdown_text")
        if text or blocks is not None:
            raise Refused("markdown_text_conflict")
        if len(markdown) > MARKDOWN_LIMIT:
            raise Refused("msg_too_long")
        return "", [{"type": "markdown", "text": markdown, "block_id": "auto0"}]
    checked = kit.check_message(blocks) if blocks is not None else []
    if not text.strip() and not checked:
        raise Refused("no_text")
    return text, checked
