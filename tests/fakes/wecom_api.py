"""A strict fake of WeCom (企业微信) over real HTTP: qyapi, 微信客服, the group webhook, and WeCom's calling side.

In a test's own loop::

    async with FakeWeCom() as wecom:                 # .api_url, .webhook_url, .corp_id, .agent_id, .app_secret, …
        wecom.app.url = f"{bot}/wecom/app/callback"  # app, kf and bot are `Endpoint`s with .token and .aes_key
        wecom.colleagues.says("ZhangSan", "密码忘了怎么办")        # 自建应用; .clicks(user, key), .presses(user, key)
        wecom.customers.says("wmA", "hello")                      # 微信客服; .enters("wmA"), .is_taken("wmA"), …
        wecom.chats.says("lisi", "hello", chat="wrGROUP")         # 智能机器人 in URL mode; it refreshes by itself
        wecom.faults.add(Fault(kind="error", method="message/send", errcode=45009, times=2))
        await wecom.until(lambda: wecom.texts("app", "zhangsan"))    # what the bot said to them
        wecom.once("kf", "wmA", "重设密码")                           # stands there exactly once
        assert wecom.violations == []                                # no rule of WeCom was broken, told or untold

- `feed`: what became of callbacks (`unacknowledged()`, `deliveries`, `again(id, 3)`, `sealed(id)` to mutate a request,
  `post("app", sealed)`, `verify("app")`); `feed.attempts` and `feed.ack_seconds` are WeCom's three times five seconds.
- `tokens.revoke("app")` (42001 for the present one), `.ends("kf")`, `.works_again("kf")`, `.count("app")`.
- `kf_api.page`, `kf_api.empty_pages`; `sessions.session(kf, customer)` to look at or change a session;
  `customers.tells()` after deeds that were `quiet`, so that one callback covers several.
- `chats.poll_seconds`, `chats.stream_life`, `chats.exchanges`; an `Exchange` says whether its stream finished or
  expired.
- `faults` (`Fault`), `rates.on`, `server.trusted`, `server.most_at_once`, `clock.advance(7200)`.
- `messages`, `texts`, `once`, `calls`, `violations`, `app_api.swallowed`, `kf_api.repeated`: what is to be seen.

For a bot in another process that is killed: `RemoteWeCom(url, session)` of `tests.fakes.wecomapi.remote` does the same
over `/control/…`; the fake itself stays in the test's process, or runs as `python -m tests.fakes.wecom_api --port N`.

Callbacks are encrypted and replies are read by wechatpy. Where WeCom's documentation names no number or code, the
fake's is a guess (`platforms.md` marks them): 40029 for codes that are used up or too old, five calls of sync_msg a
minute without a token, a repeated `msgid` answered like the first and not shown again.
"""

from __future__ import annotations

import argparse
import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.platform import MovableClock, Port, until_told
from tests.fakes.wecomapi.answers import Answers, Exchange
from tests.fakes.wecomapi.chats import Chats
from tests.fakes.wecomapi.colleagues import Colleagues
from tests.fakes.wecomapi.control import Control, Parts
from tests.fakes.wecomapi.customers import Customers
from tests.fakes.wecomapi.faults import Fault, Faults
from tests.fakes.wecomapi.feed import Delivery, Feed
from tests.fakes.wecomapi.kf import Kf
from tests.fakes.wecomapi.looking import Looking
from tests.fakes.wecomapi.messages import AppMessages
from tests.fakes.wecomapi.rates import Rates
from tests.fakes.wecomapi.sealing import Endpoint
from tests.fakes.wecomapi.server import Server
from tests.fakes.wecomapi.sessions import Sessions
from tests.fakes.wecomapi.state import Call, Json, Message, Secret, State, Violation
from tests.fakes.wecomapi.tokens import Tokens
from tests.fakes.wecomapi.webhooks import Webhooks

__all__ = [
    "AGENT_ID", "BOT_ID", "CORP_ID", "KF", "Call", "Delivery", "Endpoint", "Exchange", "FakeWeCom", "Fault", "Json",
    "Message", "Violation",
]  # fmt: skip

CORP_ID = "wwkefu00000000001a"
AGENT_ID = 1000002
BOT_ID = "aibKEFU0000000000001"
KF = "wkKEFU00000000000001"
APP_SECRET = "fake-app-secret-for-tests-only"
KF_SECRET = "fake-kf-secret-for-tests-only"
WEBHOOK_KEY = "00000000-fake-4key-8for-000000tests0"


class FakeWeCom:
    """The fake, as an async context manager. `port=0` takes a free one."""

    def __init__(self, *, rate_limits: bool = False, port: int = 0) -> None:
        self.corp_id, self.agent_id, self.bot_id, self.open_kfid = CORP_ID, AGENT_ID, BOT_ID, KF
        self.app_secret, self.kf_secret, self.webhook_key = APP_SECRET, KF_SECRET, WEBHOOK_KEY
        self.clock = MovableClock()
        self.state = State(self.clock, corp_id=CORP_ID)
        self.tokens = Tokens(self.state)
        self.tokens.add(Secret(name="app", value=APP_SECRET, agent_id=AGENT_ID, scopes={"message"}))
        self.tokens.add(Secret(name="kf", value=KF_SECRET, agent_id=AGENT_ID + 1, scopes={"kf"}))
        self.faults = Faults()
        self.rates = Rates(self.clock, on=rate_limits)
        self.app = _endpoint("app", CORP_ID, str(AGENT_ID))
        self.kf = _endpoint("kf", CORP_ID)
        self.bot = _endpoint("bot", "")
        self.feed = Feed(self.state, {"app": self.app, "kf": self.kf, "bot": self.bot})
        self.app_api = AppMessages(self.state, self.rates)
        self.sessions = Sessions(self.state, {KF: "在线客服"})
        self.kf_api = Kf(self.state, self.sessions, self.rates)
        self.webhooks = Webhooks(self.state, self.rates, {WEBHOOK_KEY})
        self.chats = Chats(self.state, self.feed, Answers(self.state, self.rates), BOT_ID)
        self.colleagues = Colleagues(self.state, self.feed, self.app_api, AGENT_ID)
        self.customers = Customers(self.state, self.feed, self.sessions, self.kf_api, KF)
        tables = (self.tokens, self.app_api, self.kf_api, self.webhooks, self.chats)
        methods = {name: method for part in tables for name, method in part.table().items()}
        self.server = Server(self.state, self.tokens, self.faults, methods)
        self.looking = Looking(self.state)
        self.messages, self.texts, self.once = self.looking.messages, self.looking.texts, self.looking.once
        self.calls, self.until = self.looking.calls, self.state.until
        self._port = Port(port)

    @property
    def api_url(self) -> str:
        """For `wecom_app.api_url`: what stands for https://qyapi.weixin.qq.com."""
        return self._port.url

    @property
    def webhook_url(self) -> str:
        """For `wecom_webhook.url`."""
        return f"{self._port.url}/cgi-bin/webhook/send?key={self.webhook_key}"

    @property
    def violations(self) -> list[Violation]:
        """Every rule that the bot broke; a test wants none."""
        return self.state.violations

    async def __aenter__(self) -> Self:
        parts = Parts(
            clock=self.clock, state=self.state, colleagues=self.colleagues, customers=self.customers, chats=self.chats,
            faults=self.faults, rates=self.rates, tokens=self.tokens, feed=self.feed, server=self.server,
            kf=self.kf_api, looking=self.looking,
        )  # fmt: skip
        qyapi = web.route("*", "/cgi-bin/{method:.+}", self.server.handle)
        await self._port.open([*Control(parts).routes(), qyapi])
        self.chats.base = self._port.url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.closing.set()
        await self.feed.close()
        await self._port.close()


def _endpoint(name: str, receive_id: str, agent_id: str = "") -> Endpoint:
    key = f"fakeEncodingAESKeyForTestsOnly000000000{name:0<3}A"
    return Endpoint(
        name=name,
        form="json" if name == "bot" else "xml",
        token=f"FakeCallbackToken{name}",
        aes_key=key,
        receive_id=receive_id,
        agent_id=agent_id,
    )


def main(arguments: list[str] | None = None) -> None:
    """Serves until SIGTERM. Prints nothing."""
    parser = argparse.ArgumentParser(description="a fake WeCom")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate-limits", action="store_true")
    options = parser.parse_args(arguments)
    asyncio.run(until_told(FakeWeCom(port=options.port, rate_limits=options.rate_limits)))


if __name__ == "__main__":
    main()
