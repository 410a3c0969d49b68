"""A Chromium for the browser tests, and a line that says what was left out where there is none."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.stage import Stage, staged

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
HOW_TO_INSTALL = "no Chromium found; install it with: apt-get install chromium (or: playwright install chromium)"
_left_out: list[str] = []


def chromium() -> str | None:
    """The browser's path: the system's own, or the one Playwright installed."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    cached = sorted(Path.home().glob(".cache/ms-playwright/chromium-*/chrome-linux*/chrome"))
    return str(cached[-1]) if cached else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(item.fspath).parent == Path(__file__).parent]
    if not mine or chromium():
        return
    for item in mine:
        item.add_marker(pytest.mark.skip(reason=HOW_TO_INSTALL))
        _left_out.append(item.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        names = ", ".join(sorted({name.partition("[")[0] for name in _left_out}))
        terminalreporter.write_line(f"left out ({HOW_TO_INSTALL}): {names}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each test opens its own context, which shares nothing with the others."""
    path = await asyncio.to_thread(chromium)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, headless=True, args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as running:
        yield running


Visit = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
def contexts() -> dict[str, BrowserContext]:
    """Browser profiles by their options. Tests may share one: each has a server, and so an origin, of its own."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, stage: Stage, contexts: dict[str, BrowserContext]) -> AsyncIterator[Visit]:
    """Opens the chat page: `await visit(locale="zh-CN", phone=True)`.

    Afterwards no page may have thrown, broken its security policy, asked a foreign host, or put the session in an
    address.
    """
    wrong: list[str] = []
    addresses: list[str] = []
    pages: list[Page] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(f"threw {error}"))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda request: addresses.append(request.url))

    async def open_page(*, locale: str = "zh-CN", phone: bool = False, **options: Any) -> Page:
        if phone:
            options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, **options}
        name = repr((locale, sorted(options.items())))
        if name not in contexts:
            contexts[name] = await browser.new_context(locale=locale, **options)
            contexts[name].set_default_timeout(8_000)
        page = await contexts[name].new_page()
        pages.append(page)
        watch(page)
        await page.goto(stage.address)
        await page.locator(".message").first.wait_for()
        return page

    yield open_page
    sessions = {await page.evaluate("localStorage.getItem('kefu.session')") for page in pages}
    for page in pages:
        await page.context.set_offline(False)
        await page.close()
    assert wrong == []
    assert [url for url in addresses if not url.startswith(str(stage.site.server.make_url("/")))] == []
    assert [url for url in addresses for session in sessions if session.strip('"') in url] == []
