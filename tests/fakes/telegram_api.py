"""A strict fake of the Telegram Bot API over real HTTP.

In a test's own loop::

    async with FakeTelegram() as telegram:
        bot = Bot(telegram.token, base_url=f"{telegram.url}/bot")
        telegram.people.says(5, "密码忘了怎么办")                       # an update is waiting
        telegram.faults.add(Fault(kind="flood", method="sendMessage", retry_after=2, every=3))
        await telegram.until(lambda: telegram.texts(5))                 # what the bot said in chat 5

As a process that outlives the bot: `python -m tests.fakes.telegram_api --port 8081 --state FILE`; then `/control/…`
does what the attributes do here (`tests.fakes.botapi.remote.RemoteTelegram` speaks it).

Strict means: it refuses what Telegram refuses, in Telegram's words (lengths in UTF-16 units, entities, parse modes,
buttons, topics, one poller, https webhooks), and confirms an update only by a higher offset or a 2xx. Stop arrives as
`stopped_message_generation`, as the method pages of Bot API 10.3 name it, and only if `allowed_updates` asks for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.botapi.control import Control
from tests.fakes.botapi.faults import Fault, Faults, FloodLimits
from tests.fakes.botapi.feeds import WebhookSender
from tests.fakes.botapi.methods import Methods
from tests.fakes.botapi.people import People
from tests.fakes.botapi.server import Server
from tests.fakes.botapi.state import Call, Json, State, visible
from tests.fakes.platform import Port, until_told

__all__ = ["TOKEN", "Call", "FakeTelegram", "Fault", "Json"]

TOKEN = "700000001:AAFakeTokenForTestsOnly-0123456789abcdef"


class FakeTelegram:
    """The fake, as an async context manager. `port=0` takes a free one."""

    def __init__(
        self,
        *,
        token: str = TOKEN,
        username: str = "kefu_test_bot",
        name: str = "Kefu",
        version: tuple[int, int] = (10, 3),
        flood_limits: bool = False,
        port: int = 0,
        state_file: Path | None = None,
    ) -> None:
        self.state = State(token=token, username=username, name=name)
        if state_file is not None and state_file.exists():
            self.state.load(state_file)
        self.people = People(self.state)
        self.faults = Faults()
        self.methods = Methods(self.state, version=version)
        self.server = Server(self.state, self.methods, self.faults)
        self.sender = WebhookSender(self.state)
        if flood_limits:
            self.server.limits = FloodLimits()
        self.until = self.state.until
        self._port = Port(port)
        self._state_file = state_file
        self._sending: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """For `telegram.api_url`; python-telegram-bot wants `<url>/bot`."""
        return self._port.url

    @property
    def token(self) -> str:
        return self.state.token

    @property
    def username(self) -> str:
        return str(self.state.me["username"])

    async def __aenter__(self) -> Self:
        control = Control(
            state=self.state,
            people=self.people,
            faults=self.faults,
            methods=self.methods,
            server=self.server,
            sender=self.sender,
            path=self._state_file,
        )
        await self._port.open([*control.routes(), web.route("*", "/bot{call:.+}", self.server.handle)])
        self._sending = asyncio.create_task(self.sender.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.closing.set()
        self.server.poll.release()
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending
        await self._port.close()
        if self._state_file is not None:
            self.state.save(self._state_file)

    # -- Looking --

    def calls(self, method: str | None = None, *, chat: int | None = None, applied: bool | None = None) -> list[Call]:
        """Calls in order, narrowed by what is given."""
        return [
            call
            for call in self.state.calls
            if (method is None or call.method.lower() == method.lower())
            and (chat is None or call.chat == chat)
            and (applied is None or call.applied == applied)
        ]

    def messages(self, chat: int) -> list[Json]:
        """The bot's messages as they stand in the chat now, oldest first."""
        room = self.state.chats.get(chat)
        mine = self.state.me["id"]
        return (
            [message for _, message in sorted(room.messages.items()) if message.get("from", {}).get("id") == mine]
            if room
            else []
        )

    def texts(self, chat: int) -> list[str]:
        """The words of `messages`."""
        return [visible(message) for message in self.messages(chat)]

    def unconfirmed(self) -> list[int]:
        """Ids of the updates that the bot has not taken responsibility for."""
        return list(self.state.pending)


def main(arguments: list[str] | None = None) -> None:
    """Serves until SIGTERM; writes the state file then and on POST /control/save. Prints nothing."""
    parser = argparse.ArgumentParser(description="a fake Telegram Bot API")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, default=None)
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--flood-limits", action="store_true")
    options = parser.parse_args(arguments)
    fake = FakeTelegram(
        token=options.token, port=options.port, flood_limits=options.flood_limits, state_file=options.state
    )
    asyncio.run(until_told(fake))


if __name__ == "__main__":
    main()
