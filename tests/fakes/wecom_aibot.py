"""A strict fake of WeCom's AI-bot server (智能机器人, long connection) over real WebSockets.

In a test's own loop::

    async with FakeAiBot() as wecom:                        # wecom.ws_url, .bot_id, .secret
        await wecom.until(lambda: wecom.links.live)         # the bot has subscribed
        asked = wecom.people.says("密码忘了怎么办")             # user "zhangsan", alone with the bot
        grouped = wecom.people.says("hello", user="lisi", chat="wrGroup1")     # "@小客 hello", in a group
        await wecom.until(lambda: wecom.texts("zhangsan"))  # words that stand there finished
        wecom.once("zhangsan", "重设密码")                     # exactly once
        wecom.people.presses(task_id, "kefu_act:solved|…")  # a card's button; must be answered within 5 s
        wecom.people.rates(wecom.answers(asked)[0], DOWN, words="太长")
        assert wecom.violations == []

- `people`: says, speaks, shows, mixes, sends, enters, presses, rates, happens, again (a repeated msgid), dismisses.
- `links`: `live`, `opened`, `subscribed`, `kicked`; `kill()`, `close()`, `silence()`, `steal()` (somebody else
  subscribes; without `ends_kicked` the connection stays open), `lapse()` (the subscription is forgotten, pings are
  not), `refusing` (HTTP 503), `mute`, `idle_seconds`, `say(text)`.
- `faults.add(Fault(kind="no_ack", method="aibot_respond_msg", times=1))`: error, no_ack, slow, twice, garbage, close,
  silence, kick.
- `rates.on`, `rates.windows`, `rates.refreshes`; `streams.life`, `streams.apart`, `streams.unfinished()`,
  `streams.end(post)`; `answering.survive`: callbacks may be answered over a newer connection.
- `clock.advance(360)` lets six minutes pass for streams, windows and rates (not for idle connections).
- `posts`, `texts`, `answers`, `cards`, `once`, `frames`, `violations`: what is to be seen. `post.shown` has every
  state of a stream with its time.

Strict means: it refuses what WeCom refuses, with WeCom's numbers, as far as they are known: 846609 before a
subscription, 853000 for a wrong secret, 846605 for a req_id that is not that of a fitting callback on this connection,
846608 for a stream that is over, 45002 for more than 20,480 bytes, 45009 for more than 30 messages a minute or 1,000
an hour in a conversation, 93001/93006/93008 for conversations it may not speak in, 40008 and 40058 for the rest. And
it writes down in `violations` what WeCom might let pass: refreshes nearer than a second, a push without `chat_type`,
a second subscription on a connection, frames that crowd one req_id, silence without pings.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.aibot.answering import Answering
from tests.fakes.aibot.faults import Fault, Faults
from tests.fakes.aibot.links import Links
from tests.fakes.aibot.looking import Looking
from tests.fakes.aibot.people import DOWN, NAME, TAKEN_BACK, UP, People
from tests.fakes.aibot.rates import Rates
from tests.fakes.aibot.state import Asked, Heard, Json, Place, Post, State
from tests.fakes.aibot.streams import Streams
from tests.fakes.platform import MovableClock, Port

__all__ = [
    "BOT_ID", "DOWN", "NAME", "SECRET", "TAKEN_BACK", "UP", "Asked", "FakeAiBot", "Fault", "Heard", "Json", "Place",
    "Post",
]  # fmt: skip

BOT_ID = "aibFakeBotForTestsOnly"
SECRET = "fake-aibot-secret-for-tests-only"


class FakeAiBot:
    """The fake, as an async context manager. `port=0` takes a free one."""

    def __init__(self, *, bot_id: str = BOT_ID, secret: str = SECRET, port: int = 0) -> None:
        self.bot_id, self.secret = bot_id, secret
        self.clock = MovableClock()
        self.state = State(self.clock, bot_id=bot_id, secret=secret)
        self.rates = Rates(self.clock)
        self.faults = Faults()
        self.streams = Streams(self.state, self.rates)
        self.answering = Answering(self.state, self.rates, self.streams)
        self.links = Links(self.state, self.rates, self.faults, self.answering)
        self.people = People(self.state, self.links)
        self.looking = Looking(self.state)
        self.posts, self.texts, self.answers = self.looking.posts, self.looking.texts, self.looking.answers
        self.cards, self.once, self.frames = self.looking.cards, self.looking.once, self.looking.frames
        self.until = self.state.until
        self._port = Port(port)

    @property
    def violations(self) -> list[str]:
        """Every rule the bot broke."""
        return self.state.violations

    @property
    def ws_url(self) -> str:
        """For `wecom_bot.ws_url`."""
        return f"ws://127.0.0.1:{self._port.number}"

    async def __aenter__(self) -> Self:
        await self._port.open([web.get("/", self.links.handle)])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.links.kill()
        await self._port.close()
