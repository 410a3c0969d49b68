"""A strict fake of Slack over real HTTP and WebSockets: Web API, Socket Mode, Events API, OAuth.

In a test's own loop::

    async with FakeSlack() as slack:                       # slack.api_url, .bot_token, .app_token, .signing_secret
        slack.feed.request_url = f"{bot}/slack/events"     # Events over HTTP; without it over Socket Mode
        slack.feed.transport = "http"
        said = slack.people.says("D5", "密码忘了怎么办", user="U5")      # D… direct, C… public, G… private
        asked = slack.people.mentions("C1", "hello", user="U5")          # two events: message and app_mention
        slack.faults.add(Fault(kind="ratelimited", method="chat.appendStream", every=3, retry_after=1))
        await slack.until(lambda: slack.messages("D5", said["thread"]))  # what the bot said in that thread
        slack.once("D5", "重设密码")                                       # stands there exactly once
        slack.hands.presses("D5", ts, "kefu_act:ticket")                 # buttons, modals, commands, shortcuts

- `people`, `hands`: what people do. `feed`: what became of it (`unacknowledged()`, `deliveries`, `again(id, 3)`),
  `feed.schedule` are the pauses before retries (a test that kills the bot wants short ones, and enough of them),
  `feed.ack_seconds` the three seconds, `feed.signed(id)` a request to mutate.
- `sockets`: `kill()`, `silence()`, `mute`, `disconnect("refresh_requested")`, `links`, `opened`; `sockets.url` may be
  set to a proxy in front.
- `faults`, `rates.on`, `tokens.ends("token_revoked")`, `tokens.loses("chat:write")`, `streams.dies(channel)`,
  `streams.life`, `oauth.rotation`; `clock.advance(300)` lets five minutes pass for streams, triggers, rates, retries.
- `messages`, `texts`, `ephemeral`, `views`, `home`, `status`, `session`, `pings`, `calls`: what is to be seen.
- `state.subscribed = {"message.im", "app_mention"}`: which events the app asked for. The bot hears its own posts
  (`events.echoes`), as it does from Slack.

For a bot in another process that is killed: `RemoteSlack(url, session)` of `tests.fakes.slackapi.remote` does the same
over `/control/…`; the fake itself stays in the test's process, or runs as `python -m tests.fakes.slack_api --port N`.

Strict means: it refuses what Slack refuses, with Slack's codes: tokens and scopes, blocks and lengths, threads, the
mode lock and the life of streams, triggers, response URLs, one-time socket addresses, three seconds for an
acknowledgement. A stream holds 12,000 characters in all (seen live, not documented). In one thing it is stricter than
Slack: a `thread_ts` that is no root is refused, where Slack takes the post and shows it to nobody.
"""

from __future__ import annotations

import argparse
import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.platform import MovableClock, Port, until_told
from tests.fakes.slackapi.chat import Chat
from tests.fakes.slackapi.control import Control, Parts
from tests.fakes.slackapi.events import Events
from tests.fakes.slackapi.faults import Fault, Faults
from tests.fakes.slackapi.feed import Feed
from tests.fakes.slackapi.looking import Looking, Seen
from tests.fakes.slackapi.lookups import Lookups
from tests.fakes.slackapi.oauth import OAuth
from tests.fakes.slackapi.people import People
from tests.fakes.slackapi.presses import Presses
from tests.fakes.slackapi.rates import Rates
from tests.fakes.slackapi.responses import Responses
from tests.fakes.slackapi.server import Server
from tests.fakes.slackapi.sessions import Sessions
from tests.fakes.slackapi.sockets import Sockets
from tests.fakes.slackapi.state import TEAM, Call, Json, State
from tests.fakes.slackapi.streams import Streams
from tests.fakes.slackapi.tokens import Tokens
from tests.fakes.slackapi.views import Views

__all__ = ["APP_TOKEN", "BOT_TOKEN", "SIGNING_SECRET", "TEAM", "Call", "FakeSlack", "Fault", "Json", "Seen"]

BOT_TOKEN = "xoxb-fake-bot-token-for-tests-only"
APP_TOKEN = "xapp-1-fake-app-token-for-tests-only"
SIGNING_SECRET = "0123456789abcdef0123456789abcdef"
CLIENT_ID = "1111.2222"
CLIENT_SECRET = "fake-client-secret-for-tests-only"


class FakeSlack:
    """The fake, as an async context manager. `port=0` takes a free one."""

    def __init__(
        self,
        *,
        bot_token: str = BOT_TOKEN,
        app_token: str = APP_TOKEN,
        signing_secret: str = SIGNING_SECRET,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        rate_limits: bool = False,
        port: int = 0,
    ) -> None:
        self.bot_token, self.app_token, self.signing_secret = bot_token, app_token, signing_secret
        self.client_id, self.client_secret = client_id, client_secret
        self.clock = MovableClock()
        self.state = State(self.clock)
        self.tokens = Tokens(self.state)
        self.faults = Faults()
        self.rates = Rates(self.clock, on=rate_limits)
        self.sockets = Sockets(self.state)
        self.feed = Feed(self.state, self.sockets, signing_secret=signing_secret)
        self.events = Events(self.state, self.feed)
        chat, sessions = Chat(self.state, self.events), Sessions(self.state)
        self.streams = Streams(self.state, chat, sessions, self.events)
        views = Views(self.state)
        self.responses = Responses(self.state, views)
        self.oauth = OAuth(self.state, self.tokens, client_id=client_id, client_secret=client_secret)
        self.people = People(self.state, self.events, self.streams, self.tokens)
        self.hands = Presses(self.state, self.feed, self.responses)
        self.looking = Looking(self.state)
        tables = (chat, sessions, self.events, self.streams, views, self.sockets, Lookups(self.state, self.tokens))
        methods = {name: work for part in tables for name, work in part.table().items()}
        self.server = Server(self.state, self.tokens, self.faults, self.rates, self.oauth, self.streams, methods)
        self.state.team(TEAM)
        self.tokens.bot(TEAM, value=bot_token)
        self.tokens.app(value=app_token)
        self.feed.answered = self.hands.answered
        self.responses.base = lambda: self.url
        self.messages, self.texts, self.ephemeral = self.looking.messages, self.looking.texts, self.looking.ephemeral
        self.once, self.pings, self.calls = self.looking.once, self.looking.pings, self.looking.calls
        self.views, self.home, self.view_text = self.looking.views, self.looking.home, self.looking.view_text
        self.status, self.session = self.looking.status, self.looking.session
        self.until = self.state.until
        self._port = Port(port)

    @property
    def url(self) -> str:
        return self._port.url

    @property
    def api_url(self) -> str:
        """For `slack.api_url` and AsyncWebClient's `base_url`."""
        return f"{self.url}/api/"

    @property
    def authorize_url(self) -> str:
        """Where a person agrees to an installation (https://slack.com/oauth/v2/authorize)."""
        return f"{self.url}/oauth/v2/authorize"

    @property
    def bot_user(self) -> str:
        """The bot's user id in the first workspace."""
        return self.state.team(TEAM).bot_user

    async def __aenter__(self) -> Self:
        await self._port.open(
            [
                *self._control().routes(),
                web.route("*", "/api/{method}", self.server.handle),
                web.get("/link/", self.sockets.handle),
                web.post("/response/{key}", self.responses.handle),
                web.get("/oauth/v2/authorize", self.oauth.page),
                web.get("/files/{file}", self.server.file),
            ]
        )
        self.sockets.url = f"ws://127.0.0.1:{self._port.number}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.closing.set()
        await self.feed.close()
        self.sockets.kill()
        await self._port.close()

    def _control(self) -> Control:
        return Control(
            Parts(
                clock=self.clock, state=self.state, people=self.people, hands=self.hands, faults=self.faults,
                rates=self.rates, tokens=self.tokens, oauth=self.oauth, feed=self.feed, sockets=self.sockets,
                streams=self.streams, looking=self.looking,
            )
        )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Serves until SIGTERM. Prints nothing."""
    parser = argparse.ArgumentParser(description="a fake Slack")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate-limits", action="store_true")
    options = parser.parse_args(arguments)
    asyncio.run(until_told(FakeSlack(port=options.port, rate_limits=options.rate_limits)))


if __name__ == "__main__":
    main()
