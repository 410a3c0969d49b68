"""Pictures of the chat page to be looked at: `python -m tests.browser.shots FOLDER`.

A test can say that nothing sticks out; whether it looks right, only somebody who looks.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from bot.messages import Author
from tests.adapters.web.doubles import CoreDouble, answer
from tests.browser.conftest import ARGUMENTS, chromium
from tests.browser.stage import Shop, Stage, staged

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}


class Photographer:
    """One page, and where its pictures go."""

    def __init__(self, page: Page, folder: Path, prefix: str) -> None:
        self.page = page
        self._folder = folder
        self._prefix = prefix

    async def ask(self, text: str, until: str) -> None:
        await self.page.locator("#say").fill(text)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator(until).last).to_be_visible(timeout=20_000)

    async def take(self, name: str) -> None:
        await asyncio.sleep(0.4)  # what slides in has arrived
        path = self._folder / f"{self._prefix}-{name}.png"
        await self.page.screenshot(path=path)
        print(path)


async def _open(browser: Browser, stage: Stage, folder: Path, prefix: str, **options: Any) -> Photographer:
    context = await browser.new_context(**options)
    page = await context.new_page()
    await page.goto(stage.address)
    await page.locator(".message").first.wait_for()
    return Photographer(page, folder, prefix)


async def _chinese_phone(shooting: Photographer, stage: Stage) -> None:
    await shooting.take("hello")
    await shooting.ask("密码忘了怎么办", ".growing li")
    await shooting.take("growing")
    await expect(shooting.page.locator(".sources")).to_be_visible()
    await shooting.take("answer")
    await shooting.ask("海外仓的包裹一直没有更新，怎么回事？", ".actions")
    await shooting.take("refusal")
    await shooting.page.locator(".actions button").first.click()
    await expect(shooting.page.locator(".card")).to_be_visible()
    await shooting.take("ticket")
    await shooting.page.locator(".quick [data-action=person]").click()
    await expect(shooting.page.locator("#status.held")).to_be_visible()
    where = stage.core.messages[1].conversation
    text = "您好，我是王芳。包裹已经到了分拨中心，预计明天送达，给您添麻烦了。"
    await stage.core.reply(where, answer(text, language="zh", author=Author.AGENT, agent="王芳"))
    await shooting.ask("太好了，谢谢！", ".me .state:not(:empty)")
    await shooting.take("agent")
    await shooting.page.context.set_offline(True)
    await shooting.ask("还有一个问题", "#banner")
    await shooting.take("offline")


async def _english_desktop(shooting: Photographer) -> None:
    await shooting.take("hello")
    await shooting.ask("When does my order ship?", ".sources")
    await shooting.page.get_by_role("button", name="Not helpful").click()
    await shooting.take("feedback")
    await shooting.ask("And to the moon?", ".actions")
    await shooting.page.locator(".actions button").first.click()
    await expect(shooting.page.locator(".card")).to_be_visible()
    await shooting.take("ticket")
    await shooting.page.locator("#restart").click()
    await shooting.take("new-conversation")


async def main(folder: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for scheme in ("light", "dark"):
            async with staged(CoreDouble(Shop(pause=0.03))) as stage:
                options = {"locale": "zh-CN", "color_scheme": scheme, **PHONE}
                await _chinese_phone(await _open(browser, stage, folder, f"phone-zh-{scheme}", **options), stage)
            async with staged() as stage:
                options = {"locale": "en-US", "color_scheme": scheme, **DESKTOP}
                await _english_desktop(await _open(browser, stage, folder, f"desktop-en-{scheme}", **options))
        await browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
