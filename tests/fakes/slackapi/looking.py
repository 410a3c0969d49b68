"""What people see: the words that stand in a conversation now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fakes.slackapi import blocks as kit
from tests.fakes.slackapi.sessions import LINE_LIFE
from tests.fakes.slackapi.state import Call, Json, Message, State

_PING = re.compile(r"<!(?:channel|here|everyone)(?:\|[^>]*)?>|<!subteam\^[^>]+>|<@[UW][A-Z0-9]+(?:\|[^>]*)?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message as a reader sees it."""

    ts: str
    channel: str
    thread: str
    """The root's ts, its own for a top-level message."""
    user: str
    bot: bool
    """Our bot wrote it."""
    text: str
    """The final words: streams joined, blocks flattened, edits applied."""
    notice: str
    """What the notification shows: the text behind the blocks."""
    blocks: list[Json]
    metadata: Json | None
    streaming: bool
    edited: bool
    pings: tuple[str, ...]
    """Whom it really notifies: `<!channel>`, `<@U…>`."""
    seen_by: str = ""


class Looking:
    """Reads the state for a test."""

    def __init__(self, state: State) -> None:
        self._state = state

    def messages(self, channel: str = "", thread: str = "", *, bot: bool | None = True) -> list[Seen]:
        """What stands there, oldest first: the bot's own (`bot=None`: everybody's), of a thread or of all of it."""
        rooms = [self._state.channels[channel]] if channel in self._state.channels else []
        if not channel:
            rooms = list(self._state.channels.values())
        found = [self._seen(room.id, one) for room in rooms for one in room.messages.values() if not one.deleted]
        return sorted(
            (one for one in found if (not thread or one.thread == thread) and bot in {None, one.bot}),
            key=lambda one: one.ts,
        )

    def texts(self, channel: str = "", thread: str = "") -> list[str]:
        """The bot's words there, a message each."""
        return [one.text for one in self.messages(channel, thread)]

    def ephemeral(self, channel: str, user: str = "") -> list[Seen]:
        """What only one person sees."""
        found = self._state.channels[channel].ephemeral
        return [self._seen(channel, one) for one in found if not one.deleted and user in {"", one.seen_by}]

    def once(self, channel: str, *expected: str, thread: str = "") -> None:
        """Each of these stands there exactly once, in one message or across those of the place.

        :raises AssertionError: it does not.
        """
        whole = "\n".join(self.texts(channel, thread))
        counts = {words: whole.count(words) for words in expected}
        wrong = {words: count for words, count in counts.items() if count != 1}
        assert not wrong, f"in {channel} {thread}: {wrong}; it says: {whole[:2000]}"

    def pings(self, channel: str = "") -> list[str]:
        """Everything in the bot's messages that notifies somebody."""
        return [ping for one in self.messages(channel) for ping in one.pings]

    def views(self, user: str = "") -> list[Json]:
        """Open modals, oldest first."""
        return [one for one in self._state.views.values() if not one["_closed"] and user in {"", one["_user"]}]

    def view_text(self, view: Json) -> str:
        """A view's title and words."""
        title = (view.get("title") or {}).get("text", "")
        return "\n".join(filter(None, [title, kit.flatten(view["blocks"])]))

    def home(self, user: str, team: str = "T0KEFU") -> str:
        """The words of the App Home; "" before it was published."""
        found = self._state.homes.get((team, user))
        return kit.flatten(found["blocks"]) if found else ""

    def status(self, channel: str, thread: str) -> str:
        """The line under the thread; "" where none is shown."""
        found = self._state.channels[channel].statuses.get(thread, {})
        over = self._state.clock.now() - found.get("at", 0.0) >= LINE_LIFE
        return "" if over else str(found["status"])

    def session(self, channel: str, thread: str) -> str:
        """active, processing, suspended, closed, or "" where there is none."""
        return str(self._state.channels[channel].sessions.get(thread, {}).get("status", ""))

    def calls(self, *methods: str, channel: str = "", applied: bool | None = None) -> list[Call]:
        """Calls in order, narrowed by what is given."""
        return [
            call for call in self._state.calls
            if (not methods or call.method in methods) and channel in {"", call.channel}
            and applied in {None, call.applied}
        ]  # fmt: skip

    def _seen(self, channel: str, message: Message) -> Seen:
        bots = {team.bot for team in self._state.teams.values()}
        return Seen(
            ts=message.ts, channel=channel, thread=message.root, user=message.user, bot=message.bot in bots,
            text=visible(message), notice=message.text, blocks=list(message.blocks), metadata=message.metadata,
            streaming=message.stream is not None and not message.stream.ended, edited=message.edited is not None,
            pings=tuple(_PING.findall(_raw(message))), seen_by=message.seen_by,
        )  # fmt: skip


def visible(message: Message) -> str:
    """The words of a message: a stream's text, then its blocks; blocks before `text` in ordinary posts."""
    if message.stream is not None:
        tasks = [str(task.get("title", "")) for task in message.stream.tasks.values()]
        parts = ["".join(message.stream.parts), *tasks, _shown(message.stream.blocks), _shown(message.blocks)]
        return "\n".join(filter(None, parts))
    return _shown(message.blocks) or _unescaped(message.text)


def _shown(blocks: Sequence[Json]) -> str:
    # Standard Markdown is shown as it is written; mrkdwn has three characters escaped.
    return "\n".join(
        words if block.get("type") == "markdown" else _unescaped(words)
        for block in blocks
        if (words := kit.flatten([block]))
    )


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _raw(message: Message) -> str:
    """All words as they were written, escapes and all."""
    if message.stream is not None:
        return "".join(message.stream.parts) + kit.flatten([*message.stream.blocks, *message.blocks])
    return f"{message.text}\n{kit.flatten(message.blocks)}"
