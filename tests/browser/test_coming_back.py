"""The chat page when the network goes, the page is reloaded, or a second tab is open: nothing lost, nothing twice."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from bot.messages import Author
from tests.adapters.web.doubles import Scene, answer
from tests.browser.conftest import Visit
from tests.browser.stage import Shop, Stage
from tests.browser.test_talking import ask, bot_says

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_what_is_said_offline_is_sent_once_the_network_is_back(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await page.context.set_offline(True)
    await ask(page, "密码忘了怎么办")
    await expect(page.get_by_text("网络已断开")).to_be_visible()
    await expect(page.locator(".me .state")).to_have_text("等待发送")
    await page.context.set_offline(False)

    await expect(bot_says(page, "登录页")).to_have_count(1)
    await expect(page.locator("#banner")).to_be_hidden()
    await expect(page.locator(".me .state")).to_have_text("")
    assert len(stage.core.messages) == 1


async def test_what_was_said_offline_survives_a_reload(visit: Visit, stage: Stage) -> None:
    page = await visit()
    stage.core.down = True
    await ask(page, "密码忘了怎么办")
    await expect(page.locator("#banner")).to_have_text("暂时连不上客服，正在重试。您的消息不会丢失。")
    stage.core.down = False
    await page.reload()

    await expect(bot_says(page, "登录页")).to_have_count(1)
    await expect(page.locator(".message.me")).to_have_count(1)
    assert len(stage.core.messages) == 1


async def test_an_answer_that_was_growing_when_the_page_was_reloaded_goes_on(visit: Visit, stage: Stage) -> None:
    page = await visit()
    stage.core.script = Shop(pause=0.06)
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".growing .words")).to_contain_text("可以自己")
    await page.reload()

    await expect(page.locator(".growing .words")).to_contain_text("可以自己")
    await expect(page.locator(".sources")).to_have_count(1)
    await expect(page.locator(".message.me")).to_have_count(1)
    await expect(page.locator(".message.bot")).to_have_count(1)
    assert len(stage.core.messages) == 1


async def test_a_connection_that_breaks_in_the_middle_is_taken_up_again(visit: Visit, stage: Stage) -> None:
    page = await visit()
    stage.core.script = Shop(pause=0.05)
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".growing .words")).to_contain_text("可以自己")
    runner = stage.site.server.runner
    assert runner is not None
    for connection in tuple(runner.server.connections):  # type: ignore[union-attr]
        connection.force_close()

    await expect(page.locator(".sources")).to_have_count(1)
    await expect(page.locator(".message.bot.said")).to_have_count(1)
    await expect(page.locator("#banner")).to_be_hidden()
    assert len(stage.core.messages) == 1


async def test_a_reload_brings_back_answers_sources_and_tickets(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    await page.locator(".quick").get_by_role("button", name="建工单").click()
    await expect(page.locator(".card")).to_be_visible()
    where = stage.core.messages[1].conversation
    await stage.core.reply(where, answer("已补发。", language="zh", author=Author.AGENT, agent="王芳"))
    await expect(page.locator(".message.agent")).to_be_visible()
    before = await page.locator(".message .words").all_inner_texts()
    await page.reload()

    await expect(page.locator(".message.agent .name")).to_have_text("客服 王芳")
    await expect(page.locator(".sources a")).to_have_count(2)
    await expect(page.locator(".card .number")).to_have_text("TICKET-7K2M9Q4D")
    after = await page.locator(".message .words").all_inner_texts()
    # The first was the page's own greeting; the pressed button is part of the stored dialogue.
    assert [words for words in after if words != "ticket"] == before[1:]


async def test_an_answer_given_while_the_page_was_closed_is_there_once(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    await page.goto(f"{stage.address}/icon.svg")
    where = stage.core.messages[1].conversation
    await stage.core.reply(where, answer("已补发。", language="zh", author=Author.AGENT, agent="王芳"))
    await page.goto(stage.address)

    await expect(page.locator(".message.agent")).to_have_count(1)
    await stage.core.reply(where, answer("明天到。", language="zh", author=Author.AGENT, agent="王芳"))
    await expect(page.locator(".message.agent .words")).to_have_text(["已补发。", "明天到。"])


async def test_a_new_conversation_is_confirmed_and_forgets_what_was_said(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    restart = page.get_by_role("button", name="重新开始")
    await restart.click()
    await page.get_by_role("button", name="取消").click()
    await expect(page.locator(".sources")).to_be_visible()
    await restart.click()
    await page.locator("dialog").get_by_role("button", name="重新开始").click()
    await stage.core.wait_for_messages(2)

    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator(".questions button")).to_have_count(4)
    assert stage.core.messages[2].command == "reset"
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_have_count(1)


async def test_two_tabs_show_one_conversation(visit: Visit, stage: Stage) -> None:
    left = await visit()
    right = await visit()
    await ask(left, "密码忘了怎么办")

    for page in (left, right):
        await expect(page.locator(".message.me .words")).to_have_text(["密码忘了怎么办"])
        await expect(bot_says(page, "登录页")).to_have_count(1)
    assert len(stage.core.messages) == 1


async def test_quick_messages_are_sent_in_order_and_answered_once_each(visit: Visit, stage: Stage) -> None:
    page = await visit(locale="en-US")
    stage.core.script = lambda message: Scene(reply=answer(f"Re: {message.text}"), pause=0.05)
    for number in range(1, 6):
        await ask(page, f"Question {number}")

    await expect(page.locator(".message.said .words")).to_have_text(
        [f"Re: Question {number}" for number in range(1, 6)]
    )
    assert [message.text for message in stage.core.messages.values()] == [
        f"Question {number}" for number in range(1, 6)
    ]
    await expect(page.locator(".dots")).to_have_count(0)


async def test_an_unseen_answer_is_counted_in_the_title(visit: Visit, stage: Stage) -> None:
    page = await visit()
    await ask(page, "密码忘了怎么办")
    await expect(page.locator(".sources")).to_be_visible()
    await page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await stage.core.reply(stage.core.messages[1].conversation, answer("好了。", author=Author.AGENT, agent="王芳"))

    await expect(page).to_have_title(re.compile("1 条新消息"))
    await page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page).to_have_title("在线客服")
