"""A scripted shop behind the real web channel, for the browser tests: known questions, answers and pace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from adapters.web.calls import Timing
from adapters.web.settings import ChannelSettings
from bot.messages import IncomingMessage, Language, MessageKind, Outcome, Reply, ReplyAction, Source
from tests.adapters.web.doubles import CoreDouble, Scene, Site, answer, running_site, ticket

FEEDBACK = ReplyAction.FEEDBACK
OFFER = (ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON)

PASSWORD_ZH = """可以自己重设，一般 **2 分钟**就好：

1. 在登录页点「忘记密码」；
2. 输入注册的手机号或邮箱，填写收到的 6 位验证码（10 分钟内有效）；
3. 设置新密码，须为 8–20 位，含字母和数字。

收不到验证码时，先看看短信拦截，再点 `重新发送`。"""
SHIPPING_EN = """Most orders ship **within 24 hours** of payment. Delivery then depends on where you are:

| Region | Standard | Express |
|---|---|---|
| East and South | 2–3 days | next day |
| West | 4–6 days | 2 days |
| Islands | 6–9 days | *not available* |

You can follow the parcel under **Me → Orders**, or write to [our team](mailto:help@example.com)."""
REFUSAL_ZH = "抱歉，我暂时无法查询到该问题。需要的话，可以帮您建工单，由人工客服跟进。"
REFUSAL_EN = "Sorry, I could not find that. If you like, I can open a ticket and our team will look into it."
TICKET_ZH = "工单已经建好，客服会尽快联系您。您不用再做什么，有了结果会在这里告诉您。"
TICKET_EN = "I have opened a ticket for you. Our team will take it from here and answer in this chat."
RESET = {"zh": "好的，我们重新开始。", "en": "All right, let's start over."}


def _pieces(text: str, size: int = 6) -> tuple[str, ...]:
    return tuple(text[:end] for end in range(size, len(text), size))


def language_of(message: IncomingMessage) -> Language:
    if any("\u4e00" <= character <= "\u9fff" for character in message.text):
        return "zh"
    return "zh" if message.sender.language.startswith("zh") and message.kind is not MessageKind.TEXT else "en"


class Shop:
    """The script. Once somebody asked for a person the shop is silent there, as the core is while an agent has it."""

    def __init__(self, *, pause: float = 0.005) -> None:
        self.pause = pause
        self._with_agent: set[str] = set()

    def __call__(self, message: IncomingMessage) -> Scene:
        session = message.conversation.channel
        if session in self._with_agent and message.command != "reset":
            return Scene(reply=None)
        reply = _reply(message, language_of(message))
        if reply.outcome is Outcome.HANDOFF:
            self._with_agent.add(session)
        growing = _pieces(reply.text) if reply.outcome is Outcome.ANSWERED else ()
        return Scene(snapshots=growing, reply=reply, pause=self.pause)


def _reply(message: IncomingMessage, language: Language) -> Reply:
    zh = language == "zh"
    words = message.text or message.command
    if message.command == "reset":
        return answer(RESET[language], language=language, outcome=Outcome.CHAT)
    if message.command == "ticket":
        later = datetime.now(UTC) + timedelta(hours=24)
        subject = "海外仓的包裹一直没有更新" if zh else "The parcel from the overseas warehouse is stuck"
        return answer(
            TICKET_ZH if zh else TICKET_EN,
            language=language,
            outcome=Outcome.TICKET,
            ticket=ticket(session=message.conversation.channel, subject=subject, due_at=later),
        )
    if message.command == "person":
        text = (
            "已为您转接人工客服，请稍等，回复会显示在这里。"
            if zh
            else "I am bringing in a colleague. One moment, please."
        )
        return answer(text, language=language, outcome=Outcome.HANDOFF)
    if "密码" in words:
        sources = (
            Source(
                id="1",
                title="忘记密码了怎么办？",
                url="https://help.example.com/zh/account/forgot-password",
                score=0.93,
            ),
            Source(
                id="2", title="密码有什么要求？", url="https://help.example.com/zh/account/password-rules", score=0.71
            ),
            Source(id="3", title="客服手册 3.2", score=0.6),
        )
        return answer(PASSWORD_ZH, language="zh", confidence=0.93, sources=sources, actions=(FEEDBACK,))
    if "ship" in words:
        source = Source(id="4", title="Shipping times and rates", url="https://help.example.com/en/shipping", score=0.9)
        return answer(SHIPPING_EN, confidence=0.9, sources=(source,), actions=(FEEDBACK,))
    return answer(
        REFUSAL_ZH if zh else REFUSAL_EN, language=language, outcome=Outcome.REFUSED, actions=(FEEDBACK, *OFFER)
    )


@dataclass
class Votes:
    """POST /api/v1/feedback, as the product's server takes it."""

    taken: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.taken.append(await request.json())
        return web.json_response({}, status=200)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The running site and what it was told."""

    site: Site
    votes: Votes

    @property
    def core(self) -> CoreDouble:
        return self.site.core

    @property
    def address(self) -> str:
        return str(self.site.server.make_url("/chat"))


@asynccontextmanager
async def staged(
    core: CoreDouble | None = None, *, settings: ChannelSettings | None = None, timing: Timing | None = None
) -> AsyncIterator[Stage]:
    votes = Votes()
    async with running_site(
        core or CoreDouble(Shop()),
        settings=settings,
        timing=timing,
        extra=[web.post("/api/v1/feedback", votes.handle)],
    ) as site:
        yield Stage(site=site, votes=votes)
