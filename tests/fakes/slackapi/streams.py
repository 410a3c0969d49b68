"""chat.startStream, appendStream, stopStream: one message that grows.

The rules: replies only; the first payload decides between `chunks` and `markdown_text`; 12,000 characters a chunk and
in the whole message; the life ends five minutes after the start, whatever is written; Stop ends it at once.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.chat import Chat, Echo, Handler
from tests.fakes.slackapi.errors import Refused, invalid_arguments
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller, metadata_of, own_message, public, thread_of, writable
from tests.fakes.slackapi.sessions import Sessions
from tests.fakes.slackapi.state import Channel, Json, Message, State, Stream

CHUNK_LIMIT = 12_000
MESSAGE_LIMIT = 12_000
"""Of one streamed message, all its chunks together. Not documented; seen live as `msg_too_long`."""
LIFE = 300.0
TITLE_LIMIT = 256
_STATUSES = frozenset({"pending", "in_progress", "complete", "error"})


class Streams:
    """The three methods, and what people and Slack itself do to a stream."""

    def __init__(self, state: State, chat: Chat, sessions: Sessions, echo: Echo) -> None:
        self._state = state
        self._chat = chat
        self._sessions = sessions
        self._echo = echo
        self.life = LIFE
        self.recipients_in_dms = False
        """Some workspaces want the recipient in direct messages too."""

    def table(self) -> dict[str, Handler]:
        return {
            "chat.startStream": self._start,
            "chat.appendStream": self._append,
            "chat.stopStream": self._stop,
        }

    # -- What the bot asks --

    def _start(self, params: Params, caller: Caller) -> Json:
        channel = writable(self._state, caller, params.required("channel"))
        if not params.has("thread_ts"):
            raise invalid_arguments("missing required field: thread_ts")
        thread = thread_of(channel, params)
        recipient = self._recipient(channel, params)
        if params.text("task_display_mode", "timeline") not in {"timeline", "plan"}:
            raise invalid_arguments("must be one of ['plan', 'timeline'] [json-pointer:/task_display_mode]")
        stream = Stream(started_at=self._state.clock.now(), recipient=recipient)
        self._take(stream, params)
        message = Message(
            ts=self._state.new_ts(), user=caller.team.bot_user, bot=caller.team.bot, team=caller.team.id,
            thread=thread, stream=stream, text="".join(stream.parts), arguments=params.raw,
        )  # fmt: skip
        self._chat.file(channel, message)
        caller.call.ts = message.ts
        return {"channel": channel.id, "ts": message.ts}

    def _append(self, params: Params, caller: Caller) -> Json:
        channel, message, stream = self._running(params, caller)
        if not params.has("markdown_text") and not params.raw.get("chunks"):
            raise Refused("no_text")
        self._take(stream, params)
        message.text = "".join(stream.parts)
        self._state.touch()
        return {"channel": channel.id, "ts": message.ts}

    def _stop(self, params: Params, caller: Caller) -> Json:
        channel, message, stream = self._running(params, caller, stopping=True)
        blocks = params.structure("blocks", list, "invalid_blocks_format")
        checked = kit.check_message(blocks) if blocks is not None else []
        metadata = metadata_of(params)
        status = params.text("session_status")
        self._sessions.check(status)
        self._check_end(stream, checked, params)
        self._take(stream, params)
        before = public(message)
        message.blocks = checked
        message.metadata = metadata or message.metadata
        message.text = "".join(stream.parts)
        message.arguments = params.raw
        stream.ended = "stopped"
        if status:
            self._sessions.set(channel, message.root, status)
        self._state.touch()
        self._echo.changed(channel, message, before)
        return {"channel": channel.id, "ts": message.ts, "message": public(message, metadata=True)}

    # -- What happens to it --

    def presses_stop(self, channel: Channel, thread: str) -> list[str]:
        """Somebody pressed Stop: the streams of the thread end; their ts."""
        ended = []
        for message in channel.messages.values():
            if message.root == thread and message.stream is not None and not self._ended(message.stream):
                message.stream.ended = "user"
                ended.append(message.ts)
        self._state.touch()
        return ended

    def dies(self, channel_id: str, ts: str = "") -> None:
        """The stream ends before its time (every running one of the channel without `ts`), as if its life were over."""
        for message in self._state.channels[channel_id].messages.values():
            if message.stream is not None and not message.stream.ended and ts in {"", message.ts}:
                message.stream.ended = "expired"
        self._state.touch()

    # -- Rules --

    def _running(self, params: Params, caller: Caller, *, stopping: bool = False) -> tuple[Channel, Message, Stream]:
        channel = writable(self._state, caller, params.required("channel"))
        message = own_message(self._state, caller, channel, params.required("ts"), "message_not_in_streaming_state")
        if message.stream is None:
            raise Refused("message_not_in_streaming_state")
        if ended := self._ended(message.stream):
            raise Refused("stopped_by_user" if ended == "user" and not stopping else "message_not_in_streaming_state")
        return channel, message, message.stream

    def _ended(self, stream: Stream) -> str:
        if not stream.ended and self._state.clock.now() - stream.started_at >= self.life:
            stream.ended = "expired"
        return stream.ended

    def _recipient(self, channel: Channel, params: Params) -> str:
        user, team = params.text("recipient_user_id"), params.text("recipient_team_id")
        if channel.kind != "im" or self.recipients_in_dms:
            if not team:
                raise Refused("missing_recipient_team_id")
            if not user:
                raise Refused("missing_recipient_user_id")
        if team and team not in self._state.teams:
            raise Refused("team_not_found")
        if user and user not in self._state.people:
            raise Refused("user_not_found")
        return user

    def _check_end(self, stream: Stream, blocks: list[Json], params: Params) -> None:
        """:raises Refused: msg_too_long, for text and blocks together."""
        chunks = params.structure("chunks", list, "invalid_chunks") or []
        text = sum(map(len, stream.parts)) + len(params.text("markdown_text"))
        if text + kit.size([chunks, stream.blocks, blocks]) > kit.SUM_LIMIT:
            raise Refused("msg_too_long")

    def _take(self, stream: Stream, params: Params) -> None:
        """Adds a payload to the stream, whole or not at all."""
        chunks = params.structure("chunks", list, "invalid_chunks") or []
        markdown = params.text("markdown_text")
        if markdown and chunks:
            raise Refused("streaming_mode_mismatch")
        mode = "chunks" if chunks else "markdown_text" if markdown else ""
        if mode and stream.mode not in {"", mode}:
            raise Refused("streaming_mode_mismatch")
        taken: list[Any] = [{"type": "markdown_text", "text": markdown}] if markdown else chunks
        for number, chunk in enumerate(taken):
            _check_chunk(chunk, number)
        words = [str(chunk["text"]) for chunk in taken if chunk["type"] == "markdown_text"]
        blocks = [block for chunk in taken if chunk["type"] == "blocks" for block in chunk["blocks"]]
        kit.check_message([*stream.blocks, *blocks])
        if sum(map(len, [*stream.parts, *words])) > MESSAGE_LIMIT:
            raise Refused("msg_too_long")
        stream.mode = stream.mode or mode
        stream.parts += words
        stream.blocks += blocks
        for chunk in taken:
            _merge(stream, chunk)


def _check_chunk(chunk: Any, number: int) -> None:
    def invalid(words: str) -> Refused:
        return Refused("invalid_chunks", messages=(f"[ERROR] {words} [json-pointer:/chunks/{number}]",))

    match chunk:
        case {"type": "markdown_text", "text": str(text)} if text:
            if len(text) > CHUNK_LIMIT:
                raise Refused("msg_too_long")
        case {"type": "task_update", "id": str(), "title": str(title), "status": status}:
            if status not in _STATUSES or len(title) > TITLE_LIMIT:
                raise invalid("invalid task_update")
        case {"type": "plan_update", "title": str(title)} if len(title) <= TITLE_LIMIT:
            pass
        case {"type": "blocks", "blocks": list(inside)} if inside:
            pass
        case _:
            raise invalid("invalid chunk")


def _merge(stream: Stream, chunk: Json) -> None:
    """Titles and statuses are replaced, details and output grow."""
    if chunk["type"] == "plan_update":
        stream.plan = chunk["title"]
    if chunk["type"] == "task_update":
        held = stream.tasks.setdefault(chunk["id"], {})
        held |= {name: chunk[name] for name in ("title", "status", "sources") if name in chunk}
        for name in ("details", "output"):
            if name in chunk:
                held[name] = held.get(name, "") + str(chunk[name])
