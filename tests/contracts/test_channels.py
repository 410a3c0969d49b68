"""What every platform promises the core, asked of each folder in `adapters/` that has settings.

A new platform joins by having `samples.py` in its folder below `tests/adapters/`: WAYS, by name the sections of
kefu.toml that turn it on (with addresses at which nobody answers), and CONVERSATION, somebody to write to.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bot.clock import SystemClock
from bot.messages import (
    ConversationRef,
    HistoryEntry,
    IncomingMessage,
    Outcome,
    Receipt,
    Reply,
    ReplyAction,
    Source,
    Ticket,
    TicketState,
)
from bot.ports import Channel, Surroundings
from bot.settings import all_sections, load_settings
from bot.telemetry import Metrics
from tests.fakes.nothing import NoDatabase, NoTickets, nothing_comes_back

_FOLDERS = {
    name: model.__module__.rpartition(".")[0]
    for name, model in all_sections().items()
    if model.__module__.startswith("adapters.")
}
PLATFORMS = tuple(_FOLDERS)


def _samples(platform: str) -> ModuleType:
    return importlib.import_module(f"tests.{_FOLDERS[platform]}.samples")


WAYS = [
    pytest.param(platform, way, id=f"{platform}-{way}") for platform in PLATFORMS for way in _samples(platform).WAYS
]

_MARKDOWN = {
    "a word": "好",
    "nothing but space": " \n ",
    "every form": "# 退货\n\n1. **订单**\n   - `退`\n2. [看](https://x.example/a_(b)?c=1)\n\n> 七\n\n```\nx\n```\n",
    "a table": "| 地区 | 天数 |\n|---|---|\n| 北京 | 2 |\n| 新疆 | 5–7 |\n",
    "unclosed": "**粗 *斜 `码 [链](http://",
    "long": "这是很长的一句话，包含😀表情。" * 1500,
    "one long word": "x" * 20_000,
    "marks of other dialects": "<b>&amp; *_~`>#+-=|{}.!\\ @here <!channel> @everyone",
    "strange characters": "a\x00b\u202ec\u200b\ufeff\u0301",
}
_GARBAGE = {
    "nothing": b"",
    "no JSON": b"\xff\xfe\x00garbage",
    "an empty object": b"{}",
    "a list": b"[1, 2]",
    "deep": b"[" * 50_000,
    "wrong types": b'{"update_id": "x", "session": {}, "text": [], "message": 7}',
    "too large": b'{"text": "' + b"x" * 200_000 + b'"}',
}


class NothingAccepted:
    """An intake that nothing may be handed in to."""

    async def accept(
        self, messages: Sequence[IncomingMessage], *, cursor: tuple[str, str, str] | None = None
    ) -> tuple[Receipt, ...]:
        raise AssertionError(f"{len(messages)} messages came in that nobody sent")

    async def cursor(self, platform: str, account: str) -> str | None:
        return None


class NothingSaid:
    async def replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        return ()

    async def history(self, conversation: ConversationRef, *, limit: int) -> tuple[HistoryEntry, ...]:
        return ()

    async def engaged(self, conversation: ConversationRef) -> bool:
        return False


@pytest.fixture
def settings(platform: str, way: str) -> Any:
    """As an operator who writes them into the environment gets them."""
    section = _samples(platform).WAYS[way]
    environ = {
        f"KEFU_{platform}__{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for key, value in section.items()
    }
    return load_settings(None, environ).channels[platform]


@pytest.fixture
async def channel(platform: str, settings: Any) -> AsyncIterator[Channel]:
    """Built off the loop, as at a start."""
    assert settings.on
    surroundings = Surroundings(
        clock=SystemClock(),
        metrics=Metrics(),
        records=NothingSaid(),
        tickets=NoTickets(),
        database=NoDatabase(),
        came_back=nothing_comes_back,
        public_url="",
        max_message_chars=4000,
        max_body_bytes=100_000,
    )
    module = await asyncio.to_thread(importlib.import_module, f"{_FOLDERS[platform]}.build")
    made: Channel = await asyncio.to_thread(module.build, settings, surroundings)
    yield made
    await asyncio.wait_for(made.close(), 5)


def _replies() -> Iterator[Reply]:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    ticket = Ticket(
        number="TICKET-7K2M9Q4D",
        subject="退款",
        state=TicketState.OPEN,
        requester="web:x",
        conversation=ConversationRef(platform="web", account="", channel="x"),
        created_at=at,
        updated_at=at,
        due_at=at + timedelta(hours=24),
    )
    sources = tuple(Source(id=f"faq#{n}", title="退货 <规则>*", url=f"https://x.example/{n}?a=1&b=_") for n in range(5))
    for text in _MARKDOWN.values():
        yield Reply(outcome=Outcome.CHAT, text=text, language="zh")
        yield Reply(
            outcome=Outcome.TICKET,
            text=text,
            language="en",
            sources=sources,
            ticket=ticket,
            actions=tuple(ReplyAction),
            turn_id="t-1",
        )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_settings_are_found_whole_and_keep_secrets(platform: str) -> None:
    model = all_sections()[platform]
    assert isinstance(model().on, bool)  # type: ignore[attr-defined]
    for values in _samples(platform).WAYS.values():
        settings = model.model_validate(values)
        secrets = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
        assert not [secret for secret in secrets if secret and secret in repr(settings)]


@pytest.mark.parametrize(("platform", "way"), WAYS)
async def test_it_is_a_channel_of_its_platform(channel: Channel, platform: str) -> None:
    promised = [name for name, _ in inspect.getmembers(Channel) if not name.startswith("_")]
    assert [name for name in promised if not hasattr(channel, name)] == []
    conversation = _samples(platform).CONVERSATION
    assert channel.platform == conversation.platform == platform
    assert channel.account == conversation.account
    interval = channel.show_interval(conversation)
    assert interval is None or interval > 0
    assert isinstance(channel.placeholder_first(conversation), bool)


@pytest.mark.parametrize(("platform", "way"), WAYS)
async def test_where_nothing_was_said_yet_a_reply_may_leave_at_once(channel: Channel, platform: str) -> None:
    conversation = _samples(platform).CONVERSATION
    assert channel.take_slot(conversation)
    await asyncio.wait_for(channel.wait_for_slot(conversation), 5)


@pytest.mark.parametrize(("platform", "way"), WAYS)
async def test_every_reply_can_be_rendered_and_always_the_same_way(channel: Channel) -> None:
    for reply in _replies():
        parts = await asyncio.to_thread(channel.render, reply)
        assert len(parts) >= 1
        again = await asyncio.to_thread(channel.render, reply)
        assert [part.text for part in parts] == [part.text for part in again]
        if reply.text.strip():
            assert all(part.text.strip() for part in parts)


@pytest.mark.parametrize(("platform", "way"), WAYS)
async def test_a_receiver_that_reaches_nobody_goes_on_and_can_be_cancelled(channel: Channel) -> None:
    receiving = asyncio.create_task(channel.run(NothingAccepted()))
    done, _ = await asyncio.wait([receiving], timeout=0.5)
    assert not done, "an outage ended the receiver"
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(receiving, 5)
    assert channel.health().detail is not None


@pytest.mark.parametrize(("platform", "way"), WAYS)
async def test_a_call_that_nobody_authorised_or_can_be_read_is_refused(channel: Channel) -> None:
    application = web.Application()
    application.add_routes(_routes(channel))
    chance = random.Random(7)
    async with TestServer(application) as server, aiohttp.ClientSession() as client:
        for route in list(application.router.routes()):
            if route.method != "POST":
                continue
            address = server.make_url(route.resource.canonical if route.resource else "/")
            for kind in ("application/json", "text/xml", ""):
                for body in (*_GARBAGE.values(), chance.randbytes(500)):
                    headers = {"Content-Type": kind} if kind else {}
                    async with client.post(address, data=body, headers=headers) as answer:
                        assert 400 <= answer.status < 500, (route, answer.status)


def _routes(channel: Channel) -> Sequence[web.AbstractRouteDef]:
    """None where the platform comes in another way than through our HTTP server."""
    routes = getattr(channel, "routes", None)
    return routes(NothingAccepted()) if routes is not None else ()
