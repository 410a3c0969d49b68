"""The chat page for everyone: both languages, keyboard, screen readers, contrast, small screens, little motion."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from bot.messages import Author
from tests.adapters.web.doubles import answer
from tests.browser.conftest import Visit
from tests.browser.stage import Stage, staged
from tests.browser.test_talking import ask

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Relative luminance and contrast as WCAG 2.2 defines them; the ground is the nearest ancestor that has a colour.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || node.closest('.unseen, dialog, noscript, [hidden], :disabled')) continue;
    if (!node.checkVisibility()) continue;
    seen += 1;
    const [a, b] = [luminance(rgb(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.className || node.localName}: ${text.data.slice(0, 30)}`);
  }
  return {seen, poor};
}"""

SMALL = """() => [...document.querySelectorAll('button, a, textarea, input')]
  .filter((node) => node.checkVisibility() && !node.closest('.words, dialog:not([open])'))
  .map((node) => [node.getAttribute('aria-label') || node.textContent, node.getBoundingClientRect()])
  .filter(([, box]) => Math.min(box.width, box.height) < 43.9)
  .map(([name, box]) => `${name.trim()} ${box.width}x${box.height}`)"""


async def _full_page(page: Page, stage: Stage) -> None:
    """Every kind of thing the page can show."""
    await ask(page, "When does my order ship?")
    await expect(page.locator(".sources")).to_be_visible()
    await page.get_by_role("button", name="Not helpful").click()
    await ask(page, "And to the moon?")
    await expect(page.locator(".actions")).to_be_visible()
    await page.locator(".quick [data-action=ticket]").click()
    await expect(page.locator(".card")).to_be_visible()
    where = stage.core.messages[1].conversation
    await stage.core.reply(
        where, answer("I am here, see `code` and https://help.example.com", author=Author.AGENT, agent="Ann")
    )
    await expect(page.locator(".message.agent")).to_be_visible()
    await ask(page, "Who?")
    await expect(page.locator(".actions")).to_be_visible()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(browser: Browser) -> AsyncIterator[Page]:
    """A page on a phone with one of everything, for those who only look."""
    context = await browser.new_context(
        locale="en-US", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    async with staged() as stage:
        page = await context.new_page()
        await page.goto(stage.address)
        await _full_page(page, stage)
        long = "x" * 300 + "\n\n|a|b|\n|-|-|\n|" + "y" * 200 + "|z|\n\n```\n" + "z" * 300
        await stage.core.reply(stage.core.messages[1].conversation, answer(long))
        await expect(page.locator(".message pre")).to_be_visible()
        yield page
        await context.close()


async def test_every_word_reaches_the_contrast_of_aa(full: Page) -> None:
    page = full
    await page.evaluate(
        "import('./chat/strings.js')"
        ".then(({label}) => label(document.getElementById('banner'), 'offline').hidden = false)"
    )
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = await page.evaluate(CONTRAST)
        assert found["poor"] == [], scheme
        assert found["seen"] > 40
    await page.evaluate("document.getElementById('banner').hidden = true")


async def test_everything_that_is_pressed_is_44_pixels_or_more(full: Page, visit: Visit) -> None:
    assert await full.evaluate(SMALL) == []
    fresh = await visit(locale="en-US", phone=True)
    assert await fresh.evaluate(SMALL) == []
    await fresh.locator("#restart").click()
    assert await fresh.evaluate(SMALL) == []


async def test_nothing_sticks_out_sideways(full: Page) -> None:
    for width in (320, 390, 860, 1280):
        await full.set_viewport_size({"width": width, "height": 700})
        beyond = await full.evaluate(
            "[document.documentElement, document.getElementById('scroll')]"
            ".map((node) => node.scrollWidth - node.clientWidth)"
        )
        assert beyond == [0, 0], width
        await expect(full.locator("#composer")).to_be_in_viewport(ratio=0.99)
        await expect(full.locator(".bar")).to_be_in_viewport(ratio=0.99)


async def test_every_control_has_a_name(full: Page) -> None:
    nameless = await full.evaluate(
        """() => [...document.querySelectorAll('button, a, textarea, section, [role=log]')]
          .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length))
          .map((node) => node.outerHTML)"""
    )
    assert nameless == []


async def test_less_motion_where_less_is_wanted(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US", reduced_motion="reduce")
    stage.core.script = lambda message: None
    await ask(page, "Hello?")
    await expect(page.locator(".dots")).to_be_visible()

    assert await page.evaluate("document.getAnimations().length") == 0


async def test_the_finished_answer_is_announced_once_and_the_growing_one_never(visit: Visit) -> None:
    page = await visit(locale="zh-CN")
    await page.evaluate(
        """() => {
          window.spoken = [];
          const hear = (change) => change.addedNodes.forEach((node) => spoken.push(node.textContent));
          new MutationObserver((changes) => changes.forEach(hear))
            .observe(document.getElementById('announcer'), {childList: true, subtree: true});
        }"""
    )
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    await page.wait_for_timeout(200)

    (spoken,) = await page.evaluate("spoken")
    assert spoken.startswith("智能助手: 可以自己重设")
    assert "重新发送" in spoken
    assert await page.locator("#announcer").get_attribute("aria-live") == "polite"
    log = page.get_by_role("log", name="对话记录")
    assert await log.get_attribute("aria-live") == "off"


async def test_the_page_can_be_used_with_the_keyboard_alone(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    await expect(page.locator("#say")).to_be_focused()
    await page.evaluate("document.activeElement.blur()")
    names = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        name = await page.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
        )
        names.append(name.strip())
        if name == "When will my order ship?":
            await page.keyboard.press("Enter")
            break

    first = names.index("切换到中文")
    assert names[first + 1] == "New conversation"
    assert "I forgot my password. What can I do?" in names[first + 2 :]
    await stage.core.wait_for_messages(1)
    assert stage.core.messages[1].text == "When will my order ship?"
    await expect(page.locator("#say")).to_be_focused()


async def test_the_dialog_keeps_and_returns_the_focus(visit: Visit) -> None:
    page = await visit(locale="en-US")
    await page.locator("#restart").click()
    assert await page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_be_hidden()
    await expect(page.locator("#restart")).to_be_focused()


@pytest.mark.parametrize(
    ("locale", "title", "lang"),
    [("zh-TW", "在线客服", "zh-CN"), ("en-GB", "Customer support", "en"), ("fr-FR", "Customer support", "en")],
)
async def test_the_page_speaks_the_browsers_language(visit: Visit, locale: str, title: str, lang: str) -> None:
    page = await visit(locale=locale)
    await expect(page.locator("h1")).to_have_text(title)
    assert await page.evaluate("document.documentElement.lang") == lang


async def test_the_chosen_language_is_remembered_and_changes_what_is_shown(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    await _full_page(page, stage)
    await page.get_by_role("button", name="切换到中文").click()
    await expect(page.locator("h1")).to_have_text("在线客服")
    await expect(page.locator(".card .chip")).to_have_text("待处理")
    await expect(page.locator(".bot .name").first).to_have_text("智能助手")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("在线客服")

    await page.get_by_role("button", name="Switch to English").click()
    own_words = await page.evaluate(
        "[...document.querySelectorAll('[data-t], [data-time]')].map((node) => node.textContent).join(' ')"
    )
    assert not re.search(r"[\u3400-\u9fff]", own_words)


async def test_both_languages_have_every_word(visit: Visit) -> None:
    page = await visit()
    words = await page.evaluate("import('./chat/strings.js').then((module) => module.LANGUAGES)")
    assert words["zh"].keys() == words["en"].keys()
    for key, text in words["zh"].items():
        assert re.findall(r"{\w+}", text).sort() == re.findall(r"{\w+}", words["en"][key]).sort(), key
        assert text, key
        assert words["en"][key], key


async def test_it_is_said_that_one_talks_to_a_machine(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await expect(page.locator("#status")).to_have_text("AI 智能助手 · 自动回复")
    await expect(page.get_by_text("AI 自动回复，可能有误")).to_be_visible()
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    bots = page.locator(".message.bot")
    assert await bots.count() == await bots.locator(".badge", has_text="AI").count() == 2
