"""What WeCom tells the app: verified, stored, acknowledged; nothing that is not WeCom's leaves a trace."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from bot.messages import MessageKind
from tests.adapters.wecom.app.conftest import App
from tests.fakes.wecomapi.sealing import Sealed


async def test_the_address_is_verified_within_a_second(app: App) -> None:
    async with app.running(app.build()):
        assert await app.wecom.feed.verify("app")
        app.wecom.app.token = "another"
        assert not await app.wecom.feed.verify("app")


async def test_a_message_is_stored_and_acknowledged_with_nothing(app: App) -> None:
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.says("LiSi", "密码忘了怎么办")
        await app.wecom.until(lambda: delivery.fate)
    assert (delivery.fate, delivery.reply) == ("acknowledged", "")
    assert app.memory.texts == ["密码忘了怎么办"]


async def test_three_retries_sealed_anew_are_one_message(app: App) -> None:
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.says("lisi", "一次")
        await app.wecom.until(lambda: delivery.fate)
        assert await app.wecom.feed.again(delivery.id, 3) == [True] * 3
    assert app.memory.texts == ["一次"]


async def test_the_same_bytes_again_have_no_effect_and_do_not_reach_the_core(app: App) -> None:
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.says("lisi", "一次")
        await app.wecom.until(lambda: delivery.fate)
        sealed = app.wecom.feed.sealed(delivery.id)
        attempts = app.memory.attempts
        assert [await app.wecom.feed.post("app", sealed) for _ in range(3)] == [(200, b"")] * 3
        assert app.memory.attempts == attempts + 1


async def test_what_could_not_be_stored_comes_again(app: App) -> None:
    app.memory.failures = 2
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.says("lisi", "一次")
        await app.wecom.until(lambda: delivery.fate)
    assert [attempt.status for attempt in delivery.attempts] == [503, 503, 200]
    assert app.memory.texts == ["一次"]


async def test_bytes_that_could_not_be_stored_are_no_repetition(app: App) -> None:
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.does("lisi", "enter_agent")
        await app.wecom.until(lambda: delivery.fate)
        says = app.wecom.colleagues.says("lisi", "一次")
        await app.wecom.until(lambda: says.fate)
        app.memory.messages.clear()
        app.memory._keys.clear()
        sealed = app.wecom.feed.sealed(says.id)
        app.memory.failures = 1
        assert [(await app.wecom.feed.post("app", sealed))[0] for _ in range(2)] == [503, 200]
    assert app.memory.texts == ["一次"]


async def test_a_pressed_button_reaches_the_core_and_says_that_it_was_heard(app: App) -> None:
    key = "kefu_act:solved|TICKET-1"
    channel = app.build()
    card = {
        "card_type": "button_interaction",
        "main_title": {"title": "工单"},
        "task_id": "t1",
        "button_list": [{"text": "已解决", "key": key}],
    }
    body = {"touser": "lisi", "msgtype": "template_card", "agentid": app.wecom.agent_id, "template_card": card}
    async with app.running(channel):
        await channel._client.post("message/send", body)
        app.wecom.colleagues.presses("lisi", key)
        await app.wecom.until(lambda: app.wecom.messages("app", "lisi")[0].updated)
    [message] = app.memory.messages
    assert (message.kind, message.command, message.text) == (MessageKind.ACTION, "solved", "TICKET-1")
    assert "[已收到]" in app.wecom.texts("app", "lisi")[0]


async def test_everything_that_can_arrive_is_acknowledged(app: App) -> None:
    async with app.running(app.build()):
        deeds = app.wecom.colleagues
        deliveries = [deeds.does("lisi", name) for name in ("subscribe", "unsubscribe", "enter_agent", "view", "")]
        deliveries += [deeds.sends("lisi", kind, MediaId="m") for kind in ("image", "voice", "video", "file", "?")]
        await app.wecom.until(lambda: all(delivery.fate for delivery in deliveries))
    assert {delivery.fate for delivery in deliveries} == {"acknowledged"}
    assert [message.attachments for message in app.memory.messages if message.kind is MessageKind.TEXT] == [
        ("photo",), ("voice",), ("video",), ("file",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param("words", id="no XML"),
        pytest.param("<xml/>", id="nothing in it"),
        pytest.param('<!DOCTYPE x [<!ENTITY a "b">]><xml><MsgType>&a;</MsgType></xml>', id="a DTD"),
        pytest.param("<xml><ToUserName>{corp}</ToUserName><MsgType>text</MsgType></xml>", id="half a message"),
        pytest.param("<xml>" + "<a>" * 500 + "</a>" * 500 + "</xml>", id="deep"),
    ],
)
async def test_what_is_signed_and_still_senseless_is_refused(app: App, plain: str) -> None:
    async with app.running(app.build()):
        sealed = app.wecom.app.seal(plain.replace("{corp}", app.wecom.corp_id))
        status, _ = await app.wecom.feed.post("app", sealed)
    assert status == 400
    assert app.memory.attempts == 0


async def test_a_stale_call_is_refused(app: App) -> None:
    async with app.running(app.build()):
        app.wecom.app.skew = -7200
        status, _ = await app.wecom.feed.post("app", app.wecom.app.seal("<xml><A>a</A></xml>"))
    assert status == 403


async def test_a_body_that_is_too_large_or_too_slow_is_refused(app: App) -> None:
    async with app.running(app.build(max_body_bytes=5000)):
        sealed = app.wecom.app.seal("<xml><A>" + "x" * 6000 + "</A></xml>")
        assert (await app.wecom.feed.post("app", sealed))[0] == 413
        host, _, port = app.wecom.app.url.split("/")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        query = "&".join(f"{name}={value}" for name, value in sealed.query.items())
        writer.write(
            f"POST /wecom/app/callback?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n<xml>".encode()
        )
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_thousand_mutated_calls_are_no_error_of_ours_and_leave_nothing(app: App) -> None:
    chance = random.Random(20_261_122)
    async with app.running(app.build()):
        delivery = app.wecom.colleagues.says("lisi", "一次")
        await app.wecom.until(lambda: delivery.fate)
        sealed = app.wecom.feed.sealed(delivery.id)
        before = app.memory.attempts
        statuses: set[int] = set()
        for _ in range(40):
            batch = [app.wecom.feed.post("app", mutated(sealed, chance)) for _ in range(25)]
            statuses |= {status for status, _ in await asyncio.gather(*batch)}
    assert statuses <= {400, 401, 403, 413}
    assert app.memory.attempts == before


def mutated(sealed: Sealed, chance: random.Random) -> Sealed:
    """One character of what is signed, or of the signature."""
    if chance.random() < 0.4:
        name = chance.choice(list(sealed.query))
        value = list(sealed.query[name])
        place = chance.randrange(len(value))
        value[place] = chance.choice([c for c in "0123456789abcdefé%" if c != value[place]])
        return replace(sealed, query={**sealed.query, name: "".join(value)})
    body = bytearray(sealed.body)
    start = body.index(b"<Encrypt>") + 18
    place = chance.randrange(start, start + 100)
    body[place] = chance.choice([c for c in b"ABCxyz019+/=<&\x00\xff" if c != body[place]])
    return replace(sealed, body=bytes(body))
