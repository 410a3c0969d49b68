"""The chat page in a real browser: asking, watching the answer grow, stopping it, and what hangs under it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.messages import Author, MessageKind, Outcome, ReceiptStatus
from tests.adapters.web.doubles import Scene, answer
from tests.browser.conftest import Visit
from tests.browser.stage import Stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def ask(page: Page, text: str) -> None:
    await page.locator("#say").fill(text)
    await page.keyboard.press("Enter")


def bot_says(page: Page, text: str | re.Pattern[str]) -> Any:
    return page.locator(".message.bot .words").filter(has_text=text)


async def test_a_question_on_a_phone_is_answered_with_its_sources(visit: Visit, stage: Stage) -> None:
    page = await visit(phone=True)
    await ask(page, "密码忘了怎么办")

    reply = page.locator(".message.bot").last
    await expect(reply.locator(".sources")).to_be_visible()
    await expect(reply.locator("ol > li")).to_have_count(3)
    await expect(reply.locator("strong")).to_have_text("2 分钟")
    links = reply.locator(".sources a")
    await expect(links).to_have_count(2)
    await expect(links.first).to_have_attribute("href", "https://help.example.com/zh/account/forgot-password")
    await expect(links.first).to_have_attribute("rel", re.compile("noopener"))
    await expect(page.locator(".message.me .words")).to_have_text(["密码忘了怎么办"])
    assert [message.sender.language for message in stage.core.messages.values()] == ["zh-CN"]


async def test_a_growing_answer_keeps_what_is_already_there(visit: Visit, stage: Stage) -> None:
    """The first paragraph's node is the same from the first word to the last: nothing is drawn anew."""
    page = await visit(locale="en-US")
    stage.core.script = _script_of("one two three four five six.\n\nAnd a second paragraph.", pause=0.04)
    await ask(page, "Count")
    words = page.locator(".message.growing .words > p").first
    await words.evaluate("node => { window.kept = node; window.text = node.firstChild }")

    await expect(page.locator(".message.said")).to_have_count(1)
    assert await page.evaluate("kept.isConnected && text.isConnected")
    assert await page.evaluate("kept.textContent") == "one two three four five six."


async def test_an_answer_that_the_core_replaces_ends_as_the_core_says(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    refusal = answer("Sorry, I could not find that.", outcome=Outcome.REFUSED)
    stage.core.script = lambda message: Scene(
        snapshots=("I think it is **blue", "I think it is **blue**"), reply=refusal, pause=0.05
    )
    await ask(page, "What colour?")

    await expect(page.locator(".message.said .words")).to_have_text("Sorry, I could not find that.")
    await expect(page.get_by_text("I think")).to_have_count(0)


async def test_enter_sends_and_shift_enter_makes_a_line(visit: Visit, stage: Stage) -> None:
    page = await visit()
    field = page.locator("#say")
    await field.press_sequentially("第一行")
    await field.press("Shift+Enter")
    await field.press_sequentially("第二行")
    assert not stage.core.messages
    await field.press("Enter")

    await stage.core.wait_for_messages(1)
    assert stage.core.messages[1].text == "第一行\n第二行"
    await expect(field).to_have_value("")
    await expect(field).to_be_focused()


async def test_enter_that_chooses_a_candidate_of_an_input_method_sends_nothing(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await page.locator("#say").focus()
    keyboard = await page.context.new_cdp_session(page)
    await keyboard.send("Input.imeSetComposition", {"text": "mima", "selectionStart": 4, "selectionEnd": 4})
    for options in ({"isComposing": True}, {"keyCode": 229}):
        taken = await page.locator("#say").evaluate(
            "(field, options) => !field.dispatchEvent(new KeyboardEvent('keydown', "
            "{key: 'Enter', bubbles: true, cancelable: true, ...options}))",
            options,
        )
        assert not taken
    await keyboard.send("Input.insertText", {"text": "密码"})
    await expect(page.locator("#say")).to_have_value("密码")
    assert not stage.core.messages

    await page.keyboard.press("Enter")
    await stage.core.wait_for_messages(1)
    assert stage.core.messages[1].text == "密码"


async def test_nothing_is_sent_for_an_empty_field_or_past_the_limit(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await expect(page.locator("#send")).to_be_disabled()
    await page.locator("#say").fill("   ")
    await page.keyboard.press("Enter")
    await page.locator("#say").fill("😀" * 4001)
    await expect(page.locator("#count")).to_have_text("还可以输入 -1 个字")
    await expect(page.locator("#send")).to_be_disabled()
    await page.keyboard.press("Enter")
    assert not stage.core.messages

    await page.locator("#say").fill("😀" * 4000)
    await page.keyboard.press("Enter")
    await stage.core.wait_for_messages(1)


async def test_stop_ends_the_answer_where_it_is(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    stage.core.script = _script_of("word " * 400, pause=0.05)
    await ask(page, "Tell me everything")
    await expect(bot_says(page, "word word")).to_be_visible()
    await page.get_by_role("button", name="Stop answering").click()

    await expect(page.locator(".message.said")).to_have_count(1)
    assert len(await page.locator(".message.said .words").inner_text()) < 1500
    await expect(page.get_by_role("button", name="Stop answering")).to_be_hidden()
    await expect(page.locator("#say")).to_be_focused()


async def test_escape_stops_too_and_a_core_that_says_nothing_more_is_not_waited_for(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    stage.core.script = lambda message: None
    await ask(page, "Hello?")
    await expect(page.locator(".dots")).to_be_visible()
    await page.keyboard.press("Escape")

    async with asyncio.timeout(5):
        await stage.core.stopped.wait()
    await expect(page.locator(".dots")).to_have_count(0)
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


async def test_a_suggested_question_is_asked_by_pressing_it(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await page.get_by_role("button", name="忘记密码了怎么办？").click()

    await expect(bot_says(page, "登录页")).to_be_visible()
    assert stage.core.messages[1].text == "忘记密码了怎么办？"
    await expect(page.locator(".questions")).to_have_count(0)


async def test_a_refusal_offers_a_ticket_and_the_ticket_is_a_card(visit: Visit, stage: Stage) -> None:
    page = await visit(permissions=["clipboard-read", "clipboard-write"])
    await ask(page, "海外仓的包裹怎么了？")
    await page.locator(".actions").get_by_role("button", name="建工单").click()

    card = page.locator(".card")
    await expect(card.locator(".number")).to_have_text("TICKET-7K2M9Q4D")
    await expect(card.locator(".chip")).to_have_text("待处理")
    await expect(card.locator(".next")).to_have_text(re.compile(r"客服会在 .+ 前回复您，回复会显示在这里。"))
    await expect(page.locator(".actions")).to_have_count(0)
    pressed = stage.core.messages[2]
    assert (pressed.kind, pressed.command, pressed.text) == (MessageKind.ACTION, "ticket", "turn-1")

    await card.get_by_role("button", name="复制工单号").click()
    await expect(page.locator("#announcer")).to_contain_text("已复制")
    assert await page.evaluate("navigator.clipboard.readText()") == "TICKET-7K2M9Q4D"


async def test_an_agents_answer_arrives_later_under_their_name(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await page.locator(".quick").get_by_role("button", name="转人工").click()
    await expect(bot_says(page, "已为您转接")).to_be_visible()
    await expect(page.locator("#status")).to_have_text("人工客服正在为您服务")
    await ask(page, "有人吗？")
    await expect(page.locator(".me .state")).to_have_text("已转给客服")
    await expect(page.locator(".dots")).to_have_count(0)
    where = stage.core.messages[1].conversation
    await stage.core.reply(where, answer("您好，我是王芳。", language="zh", author=Author.AGENT, agent="王芳"))

    agent = page.locator(".message.agent")
    await expect(agent.locator(".words")).to_have_text("您好，我是王芳。")
    await expect(agent.locator(".name")).to_have_text("客服 王芳")
    await expect(agent.locator(".badge")).to_have_text("人工")
    await expect(page.locator("#status")).to_have_text("人工客服 王芳 正在为您服务")


async def test_thumbs_and_a_comment_reach_the_house_and_stay_after_a_reload(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await ask(page, "密码忘了怎么办")
    down = page.get_by_role("button", name="没有帮助")
    await expect(down).to_have_attribute("aria-pressed", "false")
    await down.click()
    await expect(down).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("button", name="有帮助", exact=True)).to_have_attribute("aria-pressed", "false")
    comment = page.get_by_label("哪里不对？")
    await expect(comment).to_be_focused()
    await comment.fill("步骤不对")
    await page.get_by_role("button", name="提交").click()
    await expect(comment).to_have_count(0)
    await expect(down).to_be_focused()
    await expect(page.locator("#announcer")).to_contain_text("感谢您的反馈")

    assert stage.votes.taken == [
        {"turn": "turn-1", "rating": "down", "comment": ""},
        {"turn": "turn-1", "rating": "down", "comment": "步骤不对"},
    ]
    await page.reload()
    await expect(page.get_by_role("button", name="没有帮助")).to_have_attribute("aria-pressed", "true")


async def test_too_many_messages_are_said_so_and_can_be_tried_again(visit: Visit, stage: Stage) -> None:
    page = await visit()
    stage.core.next_status = ReceiptStatus.SHED
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".me .state")).to_contain_text("发得太快了")
    stage.core.next_status = ReceiptStatus.ACCEPTED
    await page.get_by_role("button", name="重试").click()

    await expect(bot_says(page, "登录页")).to_be_visible()
    assert len(stage.core.messages) == 2
    await expect(page.locator(".message.me")).to_have_count(1)


def _script_of(text: str, *, pause: float) -> Any:
    pieces = tuple(text[:end] for end in range(4, len(text), 4))
    return lambda message: Scene(snapshots=pieces, reply=answer(text), pause=pause)
