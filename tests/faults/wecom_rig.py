"""The real core and WeCom's channels in the test's own process, beside the strict fake: app, 微信客服, group robot."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from adapters.wecom.app.build import build as build_app
from adapters.wecom.app.channel import AppChannel
from adapters.wecom.app.settings import CALLBACK_PATH as APP_PATH
from adapters.wecom.app.settings import ChannelSettings as AppSettings
from adapters.wecom.kf.build import build as build_kf
from adapters.wecom.kf.channel import KfChannel
from adapters.wecom.kf.settings import CALLBACK_PATH as KF_PATH
from adapters.wecom.kf.settings import ChannelSettings as KfSettings
from adapters.wecom.kf.timing import Timing
from adapters.wecom.webhook.build import build as build_webhook
from adapters.wecom.webhook.settings import ChannelSettings as WebhookSettings
from bot.clock import SystemClock
from bot.history.endings import insert_notice
from bot.messages import Author, ConversationRef, Outcome, Reply
from bot.ports import Channel, Surroundings
from bot.telemetry import Metrics
from tests.core.house import House, new_database, open_house
from tests.fakes.dialogue import END, final_tokens, tokens
from tests.fakes.wecom_api import FakeWeCom
from tests.faults import oracle
from tests.faults.slack_rig import NOBODY, Core, Storyteller, until

__all__ = [
    "BOTH", "PATHS", "QUICK", "SEND", "Storyteller", "WeComRig", "customers_tokens", "new_rig", "once", "person",
    "said", "told_to_call", "until", "wecom_rig",
]  # fmt: skip

QUICK = Timing(
    connect=1.0, answer=2.0, call=6.0, first_pause=0.02, longest_pause=0.2, refused_pause=0.5, frequency_pause=0.5,
    upkeep=0.3, look=60.0, looks=10_000, settle=0.05,
)  # fmt: skip
SEND = {"app": "message/send", "kf": "kf/send_msg", "webhook": "webhook/send"}
BOTH = ("app", "kf")
OPERATORS = ConversationRef(platform="wecom_webhook", account="", channel="")
PATHS = {"app": APP_PATH, "kf": KF_PATH}


@dataclass(slots=True, kw_only=True)
class WeComRig:
    """One database, lived on by one process life after another. `async with rig.life():` is one of them."""

    wecom: FakeWeCom
    path: Path
    ways: Sequence[str] = BOTH
    """Of app, kf and webhook."""
    api_url: str = ""
    """Through something that stands before the fake."""
    port: int = 0
    door: str = ""
    """Where WeCom calls us, if something stands before `port`."""
    called: bool = True
    """Whether WeCom's calls reach us at all."""
    timing: Timing = QUICK
    dialogue: Storyteller = field(default_factory=Storyteller)
    beside: Sequence[Channel] = ()
    """Other channels of the same house."""
    channels: dict[str, Channel] = field(default_factory=dict)
    house: House = field(init=False)

    @contextlib.asynccontextmanager
    async def life(self, *, seconds: float = 10.0) -> AsyncIterator[House]:
        """Starts everything, waits until WeCom is reached, that long at most, and ends it in order."""
        core = Core()
        around = Surroundings(
            clock=SystemClock(), metrics=Metrics(), records=core, tickets=core, database=core, came_back=core.came_back,
            public_url="https://help.example", max_message_chars=4000, max_body_bytes=2**20,
        )  # fmt: skip
        self.channels = {way: self._built(way, around) for way in self.ways}
        everything = [*self.channels.values(), *self.beside]
        opening = open_house(self.path, everything, self.dialogue, clock=SystemClock(), drain_seconds=5.0)
        try:
            async with opening as house:
                self.house = core.stands(house).house
                async with self._server(house):
                    await until(lambda: all(one.health().up for one in self.channels.values()), seconds)
                    yield house
        finally:
            for channel in self.channels.values():
                await channel.close()

    def _built(self, way: str, around: Surroundings) -> Channel:
        wecom, url = self.wecom, self.api_url or self.wecom.api_url
        if way == "webhook":
            address = f"{url}/cgi-bin/webhook/send?key={wecom.webhook_key}"
            return build_webhook(WebhookSettings.model_validate({"url": address}), around, timing=self.timing)
        endpoint = wecom.feed.endpoints[way]
        given: dict[str, Any] = {
            "corp_id": wecom.corp_id, "token": endpoint.token, "aes_key": endpoint.aes_key, "api_url": url,
        }  # fmt: skip
        if way == "app":
            given |= {"agent_id": wecom.agent_id, "secret": wecom.app_secret}
            return build_app(AppSettings.model_validate(given), around, timing=self.timing)
        return build_kf(KfSettings.model_validate(given | {"secret": wecom.kf_secret}), around, timing=self.timing)

    @contextlib.asynccontextmanager
    async def _server(self, house: House) -> AsyncIterator[None]:
        application = web.Application(client_max_size=2**20)
        for channel in self.channels.values():
            if isinstance(channel, AppChannel | KfChannel):
                application.add_routes(channel.routes(house.inbox))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024).start()
        if self.called:
            told_to_call(self.wecom, self.door or f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            yield
        finally:
            told_to_call(self.wecom, NOBODY)
            await runner.cleanup()

    def says(self, way: str, number: int, words: str, **about: Any) -> None:
        """Colleague or customer number so-and-so writes."""
        if way == "app":
            self.wecom.colleagues.says(person(way, number), words)
        else:
            self.wecom.customers.says(person(way, number), words, **about)

    async def tells_operators(self, count: int) -> None:
        """Notices T1 and so on into the group, one after the other."""
        now = SystemClock().now()

        def write(connection: Connection) -> None:
            for number in range(1, count + 1):
                notice = Reply(outcome=Outcome.CHAT, text=f"T{number} {END}", language="zh", author=Author.NOTICE)
                insert_notice(connection, OPERATORS, notice, None, now)

        await self.house.database.write(write)
        self.house.outbox.wake()

    async def rest(self, seconds: float = 30.0) -> None:
        """Waits until everything was taken and has come to its end.

        :raises TimeoutError: it has not.
        """
        deadline, unread = time.monotonic() + seconds, set[str]()
        # In the order in which work moves on, so that it is not looked for where it has been and where it will be.
        while (called := self.on_the_way()) or (unread := await self.unread()) or await self.open_work():
            if time.monotonic() > deadline:
                raise TimeoutError(f"calls: {called}, not read: {unread}, open: {await self.open_work()}")
            await asyncio.sleep(0.03)

    async def open_work(self) -> int:
        """Messages and replies that have not come to an end."""
        return await asyncio.to_thread(oracle.open_work, self.path)

    def on_the_way(self) -> int:
        """Calls that WeCom has neither been told were taken nor given up."""
        return sum(not delivery.fate for delivery in self.wecom.feed.deliveries.values())

    async def unread(self) -> set[str]:
        """Tokens that customers have said and that are not stored."""
        return customers_tokens(self.wecom) - set(await self.stored()) if "kf" in self.ways else set()

    async def query(self, statement: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(oracle.query, self.path, statement)

    async def stored(self) -> Counter[str]:
        """How often each token is stored."""
        return Counter(token for row in await self.query("SELECT text FROM inbound") for token in tokens(row["text"]))

    async def states(self) -> Counter[str]:
        """How many replies are in which state."""
        return Counter(row["state"] for row in await self.query("SELECT state FROM deliveries"))

    def said(self, *ways: str) -> Counter[str]:
        """How often each token stands in what the bot has said for good."""
        return said(self.wecom, *(ways or self.ways))


@contextlib.asynccontextmanager
async def wecom_rig(folder: Path, *, rate_limits: bool = False, **about: Any) -> AsyncIterator[WeComRig]:
    """A fake WeCom and a rig beside it. In the end no rule of WeCom's may have been broken."""
    async with FakeWeCom(rate_limits=rate_limits) as wecom:
        yield await new_rig(wecom, folder, **about)
        assert wecom.violations == []


async def new_rig(wecom: FakeWeCom, folder: Path, **about: Any) -> WeComRig:
    """A rig on a fresh database."""
    told_to_call(wecom, NOBODY)
    return WeComRig(wecom=wecom, path=await asyncio.to_thread(new_database, folder), **about)


def told_to_call(wecom: FakeWeCom, url: str) -> None:
    """From now on WeCom calls there."""
    for way, path in PATHS.items():
        wecom.feed.endpoints[way].url = url + path


def person(way: str, number: int) -> str:
    """A colleague's id, or a customer's."""
    return f"user{number}" if way == "app" else f"wmCustomer{number}"


def said(wecom: FakeWeCom, *ways: str) -> Counter[str]:
    """How often each token stands in what the bot has said for good."""
    return Counter(token for way in ways for text in wecom.texts(way) for token in final_tokens(text))


def customers_tokens(wecom: FakeWeCom) -> set[str]:
    """What customers have said, be it read or not."""
    texts = (item["text"]["content"] for item in wecom.sessions.log if "text" in item and item["origin"] == 3)
    return {token for text in texts for token in tokens(text)}


def once(*numbers: int) -> dict[str, int]:
    """Each of these tokens once."""
    return {f"T{number}": 1 for number in numbers}
