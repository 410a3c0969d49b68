"""The fake WeCom's calling side: sealed by others' code, three attempts of five seconds, refreshes of streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import wechatpy.enterprise
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException

from tests.fakes.wecom_api import BOT_ID, CORP_ID, Exchange, FakeWeCom
from tests.fakes.wecomapi.asking import Asking, Listening
from tests.fakes.wecomapi.sealing import Endpoint, Unreadable
from tests.fakes.wecomapi.state import Json


@pytest.fixture
async def bot(wecom: FakeWeCom) -> AsyncIterator[Listening]:
    wecom.chats.poll_seconds = 0.05
    async with Listening() as bot:
        yield await bot.listen(wecom.app, wecom.kf, wecom.bot)


def stream(content: str, *, finish: bool = False, name: str = "s1", **more: Any) -> Json:
    return {"msgtype": "stream", "stream": {"id": name, "finish": finish, "content": content, **more}}


def rules(wecom: FakeWeCom) -> list[str]:
    return [one.rule for one in wecom.violations]


async def ended(wecom: FakeWeCom, exchange: Exchange) -> None:
    await wecom.until(lambda: exchange.finished)


# -- Crypto --


def test_the_official_vector() -> None:
    """Of the documentation of callbacks (90238): wechatpy reads it, and so does what the fake seals with."""
    key, corp = "6qkdMrq68nTKduznJYO1A37W2oEgpkMUvkttRToqhUt", "ww1436e0e65a779aee"
    token, signature = "hJqcu3uJ9Tn2gXPmxx2w9kkCkCE2EPYo", "012bc692d0a58dd4b10f8dfe5c4ac00ae211ebeb"
    sealed = "fsi1xnbH4yQh0+PJxcOdhhK6TDXkjMyhEPA7xB2TGz6b+g7xyAbEkRxN/3cNXW9qdqjnoVzEtpbhnFyq6SVHyA=="
    crypto = WeChatCrypto(token, key, corp)
    assert crypto.check_signature(signature, "1476416373", "47744683", sealed) == "1288432023552776189"
    endpoint = Endpoint(name="app", form="xml", token=token, aes_key=key, receive_id=corp)
    assert endpoint.decrypts(sealed) == "1288432023552776189"
    with pytest.raises(InvalidSignatureException):
        crypto.check_signature(signature, "1476416374", "47744683", sealed)


@pytest.mark.parametrize("name", ["app", "kf", "bot"])
async def test_an_address_is_verified(wecom: FakeWeCom, bot: Listening, name: str) -> None:
    assert await wecom.feed.verify(name)
    wecom.feed.endpoints[name].url += "x"
    assert not await wecom.feed.verify(name)


@pytest.mark.parametrize("name", ["app", "bot"])
def test_replies_that_wecom_does_not_read(wecom: FakeWeCom, name: str) -> None:
    endpoint = wecom.feed.endpoints[name]
    assert endpoint.read(b"", "1") == ""
    for body in (b"success", b"{}", b"<xml/>", b"\xff", endpoint.seal("x").body, b'{"encrypt":"x"}'):
        with pytest.raises(Unreadable):
            endpoint.read(body, "1")


async def test_wechatpy_reads_what_colleagues_say(wecom: FakeWeCom, bot: Listening) -> None:
    words = "a ]]> <b> & 你好 😀"
    said = wecom.colleagues.says("ZhangSan", words)
    message = wechatpy.enterprise.parse_message(said.plain)
    assert (message.source, message.target, message.agent, message.content) == ("ZhangSan", CORP_ID, 1000002, words)
    clicked = wechatpy.enterprise.parse_message(wecom.colleagues.clicks("ZhangSan", "help").plain)
    assert (clicked.event, clicked.key) == ("click", "help")
    await wecom.until(lambda: len(bot.heard) == 2)
    assert bot.heard[0]["Content"] == words
    assert b"AgentID" in bot.raw[0]


# -- Attempts --


async def test_three_attempts_each_sealed_anew(wecom: FakeWeCom, bot: Listening) -> None:
    bot.status = 500
    said = wecom.colleagues.says("zhangsan", "hi")
    await wecom.until(lambda: said.fate)
    assert (said.fate, [one.status for one in said.attempts]) == ("gave_up", [500] * 3)
    assert len(set(bot.raw)) == 3
    assert len({json.dumps(one) for one in bot.heard}) == 1
    bot.status = 200
    assert await wecom.feed.again(said.id, 2) == [True, True]
    assert (said.fate, wecom.feed.unacknowledged()) == ("acknowledged", [])


async def test_five_seconds_and_not_longer(wecom: FakeWeCom, bot: Listening) -> None:
    assert wecom.feed.ack_seconds == 5.0
    wecom.feed.ack_seconds, bot.seconds = 0.1, 0.5
    said = wecom.colleagues.says("zhangsan", "hi")
    await wecom.until(lambda: len(said.attempts) == 2)
    bot.seconds = 0.0
    await wecom.until(lambda: said.fate)
    assert [one.status for one in said.attempts] == [0, 0, 200] or [one.status for one in said.attempts] == [0, 200]


async def test_a_request_can_be_forged(wecom: FakeWeCom, bot: Listening) -> None:
    said = wecom.colleagues.says("zhangsan", "hi")
    sealed = wecom.feed.sealed(said.id)
    assert (await wecom.feed.post("app", sealed))[0] == 200
    sealed.query["msg_signature"] = "0" * 40
    assert (await wecom.feed.post("app", sealed))[0] == 500, "the bot of these tests lets wechatpy raise"
    wecom.app.skew = -7200
    stale = wecom.feed.sealed(said.id)
    assert int(stale.query["timestamp"]) < int(sealed.query["timestamp"]) - 7000


async def test_an_answer_at_once_is_read(wecom: FakeWeCom, bot: Listening) -> None:
    bot.answer = lambda heard: (
        f"<xml><ToUserName>{heard['FromUserName']}</ToUserName><MsgType>text</MsgType><Content>sofort</Content></xml>"
    )
    wecom.colleagues.says("zhangsan", "hi")
    await wecom.until(lambda: wecom.texts("app", "zhangsan"))
    assert (wecom.texts("app", "zhangsan"), wecom.violations) == (["sofort"], [])


async def test_a_pressed_button_brings_a_code_for_its_card(wecom: FakeWeCom, bot: Listening, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    card = {
        "card_type": "button_interaction", "main_title": {"title": "工单"}, "task_id": "t1",
        "button_list": [{"text": "已解决", "key": "done"}],
    }  # fmt: skip
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "template_card", "template_card": card}
    await app.ok("message/send", **message)
    pressed = wecom.colleagues.presses("zhangsan", "done")
    await wecom.until(lambda: pressed.fate)
    event = bot.heard[0]
    assert (event["Event"], event["EventKey"], event["TaskId"]) == ("template_card_event", "done", "t1")
    change = {"userids": ["zhangsan"], "agentid": 1000002, "response_code": event["ResponseCode"]}
    await app.ok("message/update_template_card", **change, button={"replace_name": "已关闭"})
    assert wecom.texts("app", "zhangsan") == ["工单\n[已解决]\n[已关闭]"]


# -- The AI bot --


async def test_a_stream_is_asked_for_until_it_ends(wecom: FakeWeCom, bot: Listening) -> None:
    bot.answer = lambda heard: stream("答" * len(bot.heard), finish=len(bot.heard) == 4, feedback={"id": "turn-1"})
    exchange = wecom.chats.says("lisi", "@Kefu hello", chat="wrG", quote={"msgtype": "text", "text": {"content": "q"}})
    await ended(wecom, exchange)
    first, second = bot.heard[:2]
    assert (first["aibotid"], first["chatid"], first["chattype"], first["from"]["userid"]) == (
        BOT_ID, "wrG", "group", "lisi",
    )  # fmt: skip
    assert (first["text"], first["quote"]["text"]) == ({"content": "@Kefu hello"}, {"content": "q"})
    assert (second["msgtype"], second["stream"], second["msgid"] != first["msgid"]) == ("stream", {"id": "s1"}, True)
    assert (wecom.texts("bot", "wrG"), exchange.refreshes, exchange.feedback) == (["答答答答"], 3, ["turn-1"])
    assert (exchange.expired, exchange.slowest < 1, wecom.violations) == (False, True, [])


async def test_six_minutes_and_then_the_response_url_once(
    wecom: FakeWeCom, bot: Listening, http: aiohttp.ClientSession
) -> None:
    async def respond(**body: Any) -> int:
        async with http.post(bot.heard[0]["response_url"], json=body) as response:
            return int((await response.json())["errcode"])

    bot.answer = lambda heard: stream("…")
    exchange = wecom.chats.says("lisi", "hello")
    await wecom.until(lambda: exchange.refreshes > 1)
    wecom.clock.advance(361)
    await ended(wecom, exchange)
    assert exchange.expired
    assert await respond(msgtype="text", text={"content": "x"}) == 40008
    assert await respond(msgtype="markdown", markdown={"content": "好" * 6827}) == 40058
    assert await respond(msgtype="markdown", markdown={"content": "spät"}) == 0
    assert await respond(msgtype="markdown", markdown={"content": "spät"}) == 40029
    assert (wecom.texts("bot", "lisi"), rules(wecom)) == (["…", "spät"], ["response_url"])


async def test_the_response_url_is_over_after_an_hour(
    wecom: FakeWeCom, bot: Listening, http: aiohttp.ClientSession
) -> None:
    exchange = wecom.chats.says("lisi", "hello")
    await ended(wecom, exchange)
    wecom.clock.advance(3601)
    async with http.post(
        bot.heard[0]["response_url"], json={"msgtype": "markdown", "markdown": {"content": "x"}}
    ) as got:
        assert (await got.json())["errcode"] == 40029


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(stream("好" * 6827), id="too long"),
        pytest.param(stream("x", name=""), id="no stream id"),
        pytest.param({"msgtype": "text", "text": {"content": "x"}}, id="text to a message"),
        pytest.param({"msgtype": "stream"}, id="no stream"),
        pytest.param(stream("x", feedback={"id": "f" * 257}), id="feedback id too long"),
        pytest.param(stream("x", msg_item=[]), id="pictures before the end"),
        pytest.param(
            {"msgtype": "stream", "stream": {"id": "a", "finish": "no", "content": "x"}}, id="finish is a word"
        ),
        pytest.param({"msgtype": "template_card", "template_card": {"card_type": "poem"}}, id="no card"),
        pytest.param("[]", id="no object"),
        pytest.param("{", id="no JSON"),
    ],
)
async def test_answers_that_show_nothing(wecom: FakeWeCom, bot: Listening, answer: Any) -> None:
    bot.answer = lambda heard: answer
    await ended(wecom, wecom.chats.says("lisi", "hello"))
    assert (wecom.texts("bot"), rules(wecom)) == ([], ["reply"])


async def test_a_stream_belongs_to_one_message(wecom: FakeWeCom, bot: Listening) -> None:
    bot.answer = lambda heard: stream("x", finish=True)
    await ended(wecom, wecom.chats.says("lisi", "one"))
    await ended(wecom, wecom.chats.says("lisi", "two"))
    assert (wecom.texts("bot", "lisi"), rules(wecom)) == (["x"], ["reply"])


async def test_a_fourth_message_waits(wecom: FakeWeCom, bot: Listening) -> None:
    bot.answer = lambda heard: stream("…", name=f"s-{heard['msgid']}") if heard["msgtype"] == "text" else None
    asked = [wecom.chats.says("lisi", str(number)) for number in range(4)]
    other = wecom.chats.says("zhangsan", "hello")
    await wecom.until(lambda: len(wecom.texts("bot")) == 4)
    assert [one.delivery is None for one in asked] == [False, False, False, True]
    assert other.delivery is not None


async def test_a_failed_refresh_is_not_the_end(wecom: FakeWeCom, bot: Listening) -> None:
    bot.answer = lambda heard: stream("x", finish=False)
    exchange = wecom.chats.says("lisi", "hello")
    await wecom.until(lambda: exchange.refreshes)
    bot.status = 503
    await asyncio.sleep(0.15)
    bot.status = 200
    bot.answer = lambda heard: stream("xy", finish=True)
    await ended(wecom, exchange)
    assert (wecom.texts("bot", "lisi"), wecom.violations) == (["xy"], [])


async def test_welcome_cards_and_feedback(wecom: FakeWeCom, bot: Listening) -> None:
    card = {
        "card_type": "button_interaction", "main_title": {"title": "工单"}, "task_id": "t1",
        "button_list": [{"text": "已解决", "key": "done"}],
    }  # fmt: skip
    answers = {
        "enter_chat": {"msgtype": "text", "text": {"content": "你好"}},
        "template_card_event": {
            "response_type": "update_template_card",
            "template_card": card | {"button_list": [{"text": "已关闭", "key": "closed"}]},
        },
    }
    both = stream("答", finish=True) | {"msgtype": "stream_with_template_card", "template_card": card}
    bot.answer = lambda heard: answers.get(heard["event"]["eventtype"]) if heard["msgtype"] == "event" else both
    for deed in (
        lambda: wecom.chats.enters("lisi"),
        lambda: wecom.chats.says("lisi", "hello"),
        lambda: wecom.chats.presses("lisi", "done"),
        lambda: wecom.chats.judges("lisi", "turn-1", good=False, comment="不对"),
    ):
        await ended(wecom, deed())
    assert wecom.texts("bot", "lisi") == ["你好", "答", "工单\n[已关闭]"]
    pressed, judged = bot.heard[2]["event"], bot.heard[3]["event"]
    assert pressed["template_card_event"] == {"card_type": "button_interaction", "event_key": "done", "task_id": "t1"}
    assert judged["feedback_event"] == {"id": "turn-1", "type": 2, "content": "不对", "inaccurate_reason_list": [2]}
    assert wecom.violations == []
