"""The page against the whole product: its own server, store, knowledge and dialogue, with the embedded engine."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from bot.app import open_app
from bot.server.admin import AdminToken
from bot.settings import load_settings
from tests.browser.test_talking import ask

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TOKEN = "a-token-of-the-company"


@dataclass(frozen=True)
class House:
    address: str

    async def agent_says(self, ticket: str, text: str) -> None:
        """As the console or any help desk does it."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client,
            client.post(f"{self.address}/api/v1/tickets/{ticket}/replies", json={"text": text}) as response,
        ):
            assert response.status < 300, await response.text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """As `kefu run` on a fresh machine: sample knowledge, embedded embedder, no model."""
    folder: Path = tmp_path_factory.mktemp("data")
    settings = load_settings(
        None,
        {
            "KEFU_DATABASE__URL": f"sqlite+aiosqlite:///{folder}/kefu.db",
            "KEFU_KNOWLEDGE__URI": str(folder / "knowledge"),
            "KEFU_HTTP__PORT": str(_free_port()),
        },
    )
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with open_app(settings) as app, asyncio.TaskGroup() as group:
        group.create_task(app.serve(stop, http=AdminToken.of(TOKEN), ready=ready.set_result))
        yield House(await asyncio.wait_for(ready, 60))
        stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, house: House) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="zh-CN", viewport={"width": 390, "height": 844})
    context.set_default_timeout(15_000)
    opened = await context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    await opened.goto(f"{house.address}/chat")
    await opened.locator(".message").first.wait_for()
    yield opened
    await context.close()
    assert wrong == []


async def test_a_visitor_is_helped_from_the_first_question_to_an_agents_answer(page: Page, house: House) -> None:
    await ask(page, "密码忘了怎么办")
    first = page.locator(".message.bot.said").last
    await expect(first.locator(".words")).to_contain_text("忘记密码")
    await expect(first.locator(".sources a").first).to_have_attribute("href", re.compile("^https://"))
    await first.get_by_role("button", name="有帮助", exact=True).click()
    await expect(page.locator("#announcer")).to_contain_text("感谢您的反馈")

    await ask(page, "火星上有你们的门店吗？")
    await expect(page.locator(".message.bot.said").nth(1)).to_contain_text("抱歉，我暂时无法查询到该问题")
    await page.locator(".actions").get_by_role("button", name="建工单").click()
    number = await page.locator(".card .number").inner_text()
    assert re.fullmatch("TICKET-[0-9A-Z]+", number)

    await house.agent_says(number, "您好，火星门店还在筹备。")
    agent = page.locator(".message.agent")
    await expect(agent.locator(".words")).to_have_text("您好，火星门店还在筹备。")
    await expect(agent.locator(".badge")).to_have_text("人工")

    said = await page.locator(".message .words").all_inner_texts()
    await page.reload()
    await expect(agent.locator(".words")).to_have_text("您好，火星门店还在筹备。")
    await expect(page.locator(".card .number")).to_have_text(number)
    again = await page.locator(".message .words").all_inner_texts()
    assert [words for words in again if words in said] == said[1:]


async def test_a_new_conversation_starts_empty_and_stays_so(page: Page) -> None:
    await ask(page, "怎么开发票？")
    await expect(page.locator(".message.bot.said .sources")).to_be_visible()
    await page.get_by_role("button", name="重新开始").click()
    await page.locator("dialog").get_by_role("button", name="重新开始").click()
    await expect(page.locator(".message.me")).to_have_count(0)
    await ask(page, "多久发货？")
    await expect(page.locator(".message.bot.said .sources")).to_have_count(1)
    await page.reload()

    await expect(page.locator(".message.me .words")).to_have_text(["多久发货？"])


async def test_ten_messages_at_once_each_find_their_answer(page: Page) -> None:
    for number in range(10):
        await ask(page, ["怎么退货？", "运费多少？", "怎么开发票？"][number % 3] + "！" * number)

    await expect(page.locator(".dots")).to_have_count(0, timeout=20_000)
    await expect(page.locator(".me .state:not(:empty)")).to_have_count(0)
    await expect(page.locator(".message.bot.said").first).to_be_visible()
