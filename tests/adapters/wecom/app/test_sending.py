"""What the app says to colleagues, against WeCom's rules."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.wecom.app.channel import AppChannel
from adapters.wecom.app.twins import INTERVAL
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, SendError, Undeliverable
from bot.history.database import Database
from bot.history.endings import insert_notice
from bot.messages import Author, Outcome, Reply, ReplyAction
from bot.telemetry import Metrics
from tests.adapters.rendering.test_wecom import LONG
from tests.adapters.telegram.doubles import SystemClock
from tests.adapters.wecom.app.conftest import App, conversation
from tests.adapters.wecom.test_cards import ticket
from tests.core.house import _template, address, new_database
from tests.fakes.wecom_api import Fault


@pytest.fixture(scope="module", autouse=True)
def _empty_database() -> None:
    """Made outside the event loop; every test copies it."""
    _template()


def reply(text: str = "七天内可以退货。", **changes: Any) -> Reply:
    return Reply(outcome=Outcome.ANSWERED, text=text, language="zh", **changes)


async def send(channel: AppChannel, said: Reply, *, delivery: int = 1, user: str = "lisi") -> list[str]:
    """As the outbox does."""
    sent = []
    for part in channel.render(said):
        await channel.wait_for_slot(conversation(user))
        sent.append(await channel.send(conversation(user), part, replaces=None, delivery_id=delivery, reply=said))
    return sent


async def failure(channel: AppChannel, said: Reply | None = None, *, user: str = "lisi") -> SendError:
    with pytest.raises(SendError) as error:
        await send(channel, said or reply(), user=user)
    return error.value


# -- Words and cards --


async def test_a_long_answer_with_a_table_arrives_whole(app: App) -> None:
    channel = app.build()
    sent = await send(channel, reply(LONG))
    assert len(sent) == len(set(sent)) == len(app.wecom.messages("app", "lisi")) > 3
    whole = "".join(app.wecom.texts("app", "lisi"))
    assert whole.count("每一条都要遵守") == 120
    assert "城市59" in whole


async def test_a_ticket_and_an_offer_arrive_as_cards(app: App) -> None:
    channel = app.build()
    await send(channel, reply("已登记。", ticket=ticket(), turn_id="t-1"))
    offered = (ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON)
    await send(channel, reply("抱歉。", actions=offered, turn_id="t-2"), delivery=2)
    kinds = [message.msgtype for message in app.wecom.messages("app", "lisi")]
    assert kinds == ["text", "template_card", "text", "template_card"]
    cards = [message.body["template_card"] for message in app.wecom.messages("app", "lisi")[1::2]]
    assert cards[0]["task_id"] != cards[1]["task_id"]
    assert "[已解决]" in app.wecom.texts("app", "lisi")[1]
    assert "[转人工]" in app.wecom.texts("app", "lisi")[3]


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        pytest.param(reply("**七天**内。"), "'msgtype': 'markdown'", id="markdown"),
        pytest.param(reply("已登记。", ticket=ticket(), turn_id="t-1"), "template_card", id="card"),
    ],
)
async def test_a_form_that_wecom_does_not_take_arrives_in_words(app: App, said: Reply, refused: str) -> None:
    app.wecom.faults.add(Fault(kind="error", method="message/send", errcode=40058, contains=refused))
    await send(app.build(), said)
    assert {message.msgtype for message in app.wecom.messages("app", "lisi")} == {"text"}
    assert "TICKET-7K2M9Q4D" in "".join(app.wecom.texts("app", "lisi")) or said.ticket is None


async def test_words_that_wecom_does_not_take_in_any_form_are_undeliverable(app: App) -> None:
    app.wecom.faults.add(Fault(kind="error", method="message/send", errcode=40058))
    assert type(await failure(app.build())) is Undeliverable


# -- Failures --


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [
        (45009, NotSent),
        (-1, NotSent),
        (60020, CredentialsRefused),
        (40001, CredentialsRefused),
        (301002, CredentialsRefused),
        (81013, DestinationGone),
    ],
)
async def test_a_refusal_is_told_in_the_cores_words(app: App, errcode: int, kind: type[SendError]) -> None:
    app.wecom.faults.add(Fault(kind="error", method="message/send", errcode=errcode))
    assert type(await failure(app.build())) is kind


async def test_a_user_that_nobody_knows_is_a_failure_though_wecom_says_ok(app: App) -> None:
    channel = app.build()
    app.wecom.faults.add(
        Fault(kind="shape", method="message/send", body={"errcode": 0, "msgid": "1", "invaliduser": "lisi"}, times=1)
    )
    assert type(await failure(channel)) is DestinationGone
    assert type(await failure(channel, user="nobody")) is DestinationGone


@pytest.mark.parametrize("user", ["@all", "lisi|wangwu", "", "张三"])
async def test_nobody_but_one_user_is_ever_written_to(app: App, user: str) -> None:
    assert type(await failure(app.build(), user=user)) is DestinationGone
    assert app.wecom.calls("message/send") == []


async def test_too_often_quiets_the_whole_app(app: App) -> None:
    channel = app.build()
    app.wecom.faults.add(Fault(kind="error", method="message/send", errcode=45009, times=1))
    waits = await failure(channel)
    assert isinstance(waits, NotSent)
    assert not channel.take_slot(conversation("wangwu"))
    await asyncio.sleep(0.55)
    await send(channel, reply())


async def test_a_member_never_hears_more_than_wecom_lets_through(app: App) -> None:
    app.wecom.rates.on = True
    channel = app.build()
    sent = 0
    for number in range(60):
        if channel.take_slot(conversation()):
            [part] = channel.render(reply(f"第 {number} 条"))
            await channel.send(conversation(), part, replaces=None, delivery_id=number, reply=reply())
            sent += 1
    assert sent == len(app.wecom.messages("app", "lisi")) == 28
    assert not channel.take_slot(conversation("LiSi"))
    assert channel.take_slot(conversation("wangwu"))


# -- The duplicate check --


async def house(folder: Path) -> Database:
    return Database(address(new_database(folder)), metrics=Metrics())


async def delivered(database: Database, said: Reply) -> int:
    """A delivery's row, as the core writes it."""
    now = SystemClock().now()

    def work(connection: Any) -> int:
        insert_notice(connection, conversation(), said, None, now)
        newest = connection.exec_driver_sql("select max(id) from deliveries").scalar_one()
        return int(newest)

    return await database.write(work)


async def test_a_send_whose_answer_was_lost_is_repeated_without_a_copy(app: App, tmp_path: Path) -> None:
    async with await house(tmp_path) as database:
        app.database.inner = database
        said = reply("**七天**内可以退货。")
        delivery = await delivered(database, said)
        channel = app.build()
        app.wecom.faults.add(Fault(kind="reset", method="message/send", apply=True, times=1))
        with pytest.raises(PerhapsSent):
            await send(channel, said, delivery=delivery)
        # Perhaps by another process, after a kill.
        await send(app.build(), said, delivery=delivery)
    assert app.wecom.texts("app", "lisi") == ["**七天**内可以退货。"]
    assert len(app.wecom.app_api.swallowed) == 1
    assert app.wecom.calls("message/send")[0].params["duplicate_check_interval"] == INTERVAL


async def test_the_same_answer_to_a_question_asked_again_is_not_swallowed(app: App, tmp_path: Path) -> None:
    async with await house(tmp_path) as database:
        app.database.inner = database
        channel = app.build()
        for _ in range(3):
            await send(channel, reply(), delivery=await delivered(database, reply()))
            channel = app.build()  # nothing of it is in a process's memory
    assert app.wecom.texts("app", "lisi") == ["七天内可以退货。"] * 3
    assert app.wecom.app_api.swallowed == []


async def test_answers_that_begin_alike_are_not_swallowed_in_part(app: App, tmp_path: Path) -> None:
    async with await house(tmp_path) as database:
        app.database.inner = database
        channel = app.build()
        one = reply("甲，" * 2000 + "一。")
        other = replace(one, text="甲，" * 2000 + "二。")
        for said in (one, other):
            await send(channel, said, delivery=await delivered(database, said))
    whole = "".join(app.wecom.texts("app", "lisi"))
    assert (whole.count("甲"), whole.count("一。"), whole.count("二。")) == (4000, 1, 1)


async def test_the_words_of_a_card_that_is_not_taken_are_not_swallowed(app: App, tmp_path: Path) -> None:
    app.wecom.faults.add(Fault(kind="error", method="message/send", errcode=40058, contains="template_card"))
    async with await house(tmp_path) as database:
        app.database.inner = database
        channel = app.build()
        for number in (1, 2):
            said = reply(f"抱歉 {number}。", actions=(ReplyAction.TALK_TO_PERSON,), turn_id=f"t-{number}")
            await send(channel, said, delivery=await delivered(database, said))
    assert "".join(app.wecom.texts("app", "lisi")).count("转人工") == 2


async def test_without_a_database_nothing_is_swallowed(app: App) -> None:
    channel = app.build()
    await send(channel, reply(), delivery=1)
    await send(channel, reply(), delivery=2)
    assert len(app.wecom.texts("app", "lisi")) == 2


async def test_an_agents_words_are_a_delivery_like_any_other(app: App) -> None:
    await send(app.build(), reply("请重启。", author=Author.AGENT, agent="王芳", ticket=ticket()))
    assert app.wecom.texts("app", "lisi")[0] == "👤 **客服 王芳：**\n\n请重启。"
