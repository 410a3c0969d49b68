"""The fake AI-bot server, proved by somebody else's client (wecom-aibot-sdk-python, unpatched)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from wecom_aibot_sdk import WSClient
from wecom_aibot_sdk.types import SendMarkdownMsgBody, TemplateCard, WSClientOptions
from wecom_aibot_sdk.types.message import CardAction, CardButton, CardTitle

from tests.fakes.aibot.state import Asked
from tests.fakes.wecom_aibot import DOWN, FakeAiBot, Fault

# The client reads a property of `websockets` that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:ConnectionClosed.code is deprecated:DeprecationWarning")


class Quiet:
    """The client's log, for nobody."""

    def debug(self, message: str, *args: Any) -> None: ...
    def info(self, message: str, *args: Any) -> None: ...
    def warn(self, message: str, *args: Any) -> None: ...
    def error(self, message: str, *args: Any) -> None: ...


class Bot:
    """The other party's client, and what it was told."""

    def __init__(self, wecom: FakeAiBot, **options: Any) -> None:
        about = {"bot_id": wecom.bot_id, "secret": wecom.secret, "ws_url": wecom.ws_url, "logger": Quiet()}
        self.client = WSClient(WSClientOptions(**{**about, "reconnect_interval": 20, **options}))
        self._told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.client.on("*", self._hear)

    async def _hear(self, frame: Any) -> None:
        if frame.cmd:
            await self._told.put((frame.headers["req_id"], frame))

    async def told(self, asked: Asked) -> Any:
        """The frame of this message or event."""
        async with asyncio.timeout(5):
            while True:
                req_id, frame = await self._told.get()
                if req_id == asked.req_id:
                    return frame

    def event(self, name: str) -> asyncio.Event:
        """Set when the client says this of itself."""
        happened = asyncio.Event()

        async def happens(frame: Any) -> None:
            happened.set()

        self.client.on(name, happens)
        return happened


@pytest.fixture
async def wecom() -> AsyncIterator[FakeAiBot]:
    async with FakeAiBot() as fake:
        yield fake


@pytest.fixture
async def bot(wecom: FakeAiBot) -> AsyncIterator[Bot]:
    one = Bot(wecom)
    await one.client.connect_async()
    await wecom.until(lambda: wecom.links.live)
    try:
        yield one
    finally:
        await one.client.disconnect()


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await event.wait()


def question(task_id: str = "task-1") -> TemplateCard:
    buttons = [CardButton(text="已解决", key="solved"), CardButton(text="转人工", key="person")]
    return TemplateCard(
        card_type="button_interaction", main_title=CardTitle(title="工单"), button_list=buttons, task_id=task_id
    )  # fmt: skip


# -- Messages and answers --


async def test_a_message_is_answered_with_a_growing_stream(wecom: FakeAiBot, bot: Bot) -> None:
    asked = wecom.people.says("密码忘了怎么办")
    frame = await bot.told(asked)
    assert frame.cmd == "aibot_msg_callback"
    assert frame.body["text"] == {"content": "密码忘了怎么办"}
    assert frame.body["from"] == {"userid": "zhangsan"}
    assert "chatid" not in frame.body and frame.body["chattype"] == "single"
    for text in ("请", "请在登录页"):
        ack = await bot.client.reply_stream(frame, "s1", text)
        assert ack.errcode == 0
        wecom.clock.advance(1.0)
    await bot.client.reply_stream(frame, "s1", "请在登录页重设密码。", finish=True)
    [post] = wecom.answers(asked)
    assert [text for _, text in post.shown] == ["请", "请在登录页", "请在登录页重设密码。"]
    assert wecom.once("zhangsan", "重设密码") is post
    assert wecom.streams.unfinished() == []
    assert wecom.violations == []


async def test_a_group_mentions_the_bot_and_quotes(wecom: FakeAiBot, bot: Bot) -> None:
    frame = await bot.told(wecom.people.says("这个呢", user="lisi", chat="wrGroup", quote="昨天的回答"))
    assert (frame.body["chattype"], frame.body["chatid"], frame.body["from"]["userid"]) == ("group", "wrGroup", "lisi")
    assert frame.body["text"]["content"] == "@小客 这个呢"
    assert frame.body["quote"] == {"msgtype": "text", "text": {"content": "昨天的回答"}}
    await bot.client.reply_stream(frame, "s1", "<@lisi> 好", finish=True)
    assert wecom.texts("wrGroup") == ["<@lisi> 好"]
    assert wecom.texts("lisi") == []


async def test_every_kind_of_message_arrives(wecom: FakeAiBot, bot: Bot) -> None:
    voice = await bot.told(wecom.people.speaks("我要投诉"))
    assert voice.body["voice"] == {"content": "我要投诉"}
    for kind in ("image", "file", "video"):
        shown = await bot.told(wecom.people.shows(kind))
        assert {"url", "aeskey"} <= set(shown.body[kind])
    mixed = await bot.told(wecom.people.mixes("看图", chat="wrGroup"))
    assert [item["msgtype"] for item in mixed.body["mixed"]["msg_item"]] == ["text", "image"]
    odd = await bot.told(wecom.people.sends({"msgtype": "hologram", "hologram": {}}))
    assert odd.body["msgtype"] == "hologram"


async def test_a_message_that_comes_twice_has_its_msgid_twice(wecom: FakeAiBot, bot: Bot) -> None:
    asked = wecom.people.says("hello")
    first, second = await bot.told(asked), await bot.told(wecom.people.again(asked))
    assert first.body == second.body and first.headers != second.headers
    await bot.client.reply_stream(second, "s1", "hi", finish=True)
    assert [post.text for post in wecom.answers(asked)] == ["hi"]


async def test_a_push_goes_where_somebody_wrote(wecom: FakeAiBot, bot: Bot) -> None:
    body = SendMarkdownMsgBody(markdown={"content": "**工单已更新**"})
    with pytest.raises(RuntimeError, match="93006"):
        await bot.client.send_message("zhangsan", body)
    wecom.people.enters()
    with pytest.raises(RuntimeError, match="93001"):
        await bot.client.send_message("zhangsan", body)
    wecom.people.says("hi")
    await bot.client.send_message("zhangsan", body)
    assert wecom.texts("zhangsan") == ["**工单已更新**"]
    # This client leaves out `chat_type`, which may send words meant for a person into a group.
    assert all("chat_type" in breach for breach in wecom.violations) and wecom.violations


# -- Events --


async def test_who_enters_is_welcomed_once(wecom: FakeAiBot, bot: Bot) -> None:
    frame = await bot.told(wecom.people.enters(user="wangwu"))
    assert frame.body["event"] == {"eventtype": "enter_chat"}
    await bot.client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "您好"}})
    with pytest.raises(RuntimeError, match="846605"):
        await bot.client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "您好"}})
    assert wecom.texts("wangwu") == ["您好"]


async def test_a_card_is_pressed_and_replaced(wecom: FakeAiBot, bot: Bot) -> None:
    frame = await bot.told(wecom.people.says("转人工"))
    await bot.client.reply_template_card(frame, question())
    press = await bot.told(wecom.people.presses("task-1", "solved", user="zhangsan"))
    pressed = press.body["event"]["template_card_event"]
    about = {"card_type": "button_interaction", "event_key": "solved", "task_id": "task-1", "selected_items": {}}
    assert pressed == about
    done = TemplateCard(
        card_type="text_notice", main_title=CardTitle(title="已解决"), task_id="task-1",
        card_action=CardAction(type=1, url="https://example.com"),  # type: ignore[arg-type]
    )  # fmt: skip
    await bot.client.update_template_card(press, done, ["zhangsan"])
    [card] = wecom.cards("zhangsan")
    assert (card.card["main_title"], card.updates) == ({"title": "已解决"}, 1)
    with pytest.raises(AssertionError):
        wecom.people.presses("task-1", "solved")
    assert wecom.violations == []


async def test_thumbs_bring_back_the_id_they_were_given(wecom: FakeAiBot, bot: Bot) -> None:
    asked = wecom.people.says("hello")
    frame = await bot.told(asked)
    stream = {"id": "s1", "finish": True, "content": "hi", "feedback": {"id": "turn-1"}}
    await bot.client.reply(frame, {"msgtype": "stream", "stream": stream})
    thumb = await bot.told(wecom.people.rates(wecom.answers(asked)[0], DOWN, words="太短", reasons=(2,)))
    about = {"id": "turn-1", "type": 2, "content": "太短", "inaccurate_reason_list": [2]}
    assert thumb.body["event"] == {"eventtype": "feedback_event", "feedback_event": about}


async def test_an_answer_without_an_id_has_no_thumbs(wecom: FakeAiBot, bot: Bot) -> None:
    asked = wecom.people.says("hello")
    await bot.client.reply_stream(await bot.told(asked), "s1", "hi", finish=True)
    with pytest.raises(AssertionError):
        wecom.people.rates(wecom.answers(asked)[0])


# -- Connections --


async def test_a_newer_connection_kicks_the_older_which_stays_away(wecom: FakeAiBot, bot: Bot) -> None:
    gone = bot.event("disconnected")
    kicked = bot.event("event.disconnected_event")
    newer = Bot(wecom)
    await newer.client.connect_async()
    await within(kicked)
    await within(gone)
    assert (wecom.links.opened, wecom.links.subscribed, wecom.links.kicked) == (2, 2, 1)
    asked = wecom.people.says("hello")
    await newer.client.reply_stream(await newer.told(asked), "s1", "hi", finish=True)
    assert wecom.texts("zhangsan") == ["hi"]
    await newer.client.disconnect()


async def test_a_wrong_secret_subscribes_nobody(wecom: FakeAiBot) -> None:
    stranger = Bot(wecom, secret="wrong", max_reconnect_attempts=1)
    await stranger.client.connect_async()
    await wecom.until(lambda: wecom.frames("aibot_subscribe"))
    assert wecom.frames("aibot_subscribe")[0].errcode == 853000
    assert not stranger.client.is_authenticated and wecom.links.live is None
    await stranger.client.disconnect()


@pytest.mark.parametrize("how", ["kill", "close"])
async def test_a_lost_connection_comes_back(wecom: FakeAiBot, bot: Bot, how: str) -> None:
    lost = wecom.people.says("before")
    frame = await bot.told(lost)
    getattr(wecom.links, how)()
    await wecom.until(lambda: wecom.links.subscribed == 2)
    with pytest.raises(RuntimeError, match="846605"):
        await bot.client.reply_stream(frame, "s1", "late", finish=True)
    asked = wecom.people.says("after")
    await bot.client.reply_stream(await bot.told(asked), "s2", "hi", finish=True)
    assert wecom.texts("zhangsan") == ["hi"]


async def test_pings_are_answered_until_the_line_is_silent(wecom: FakeAiBot) -> None:
    quick = Bot(wecom, heartbeat_interval=50)
    await quick.client.connect_async()
    await wecom.until(lambda: wecom.links.live is not None and wecom.links.live.pings >= 3)
    assert quick.client.is_authenticated
    noticed = quick.event("disconnected")
    wecom.links.silence()
    await within(noticed)
    await quick.client.disconnect()


# -- What goes wrong on order --


@pytest.mark.parametrize("code", [-1, 45009, 846608])
async def test_an_ordered_errcode_is_what_the_client_sees(wecom: FakeAiBot, bot: Bot, code: int) -> None:
    frame = await bot.told(wecom.people.says("hello"))
    wecom.faults.add(Fault(kind="error", method="aibot_respond_msg", errcode=code, times=1))
    with pytest.raises(RuntimeError, match=f"errcode={code}"):
        await bot.client.reply_stream(frame, "s1", "hi", finish=True)
    await bot.client.reply_stream(frame, "s1", "hi", finish=True)
    assert wecom.texts("zhangsan") == ["hi"]


async def test_a_slow_acknowledgement_is_waited_for(wecom: FakeAiBot, bot: Bot) -> None:
    frame = await bot.told(wecom.people.says("hello"))
    wecom.faults.add(Fault(kind="slow", method="aibot_respond_msg", seconds=0.2, times=1))
    await bot.client.reply_stream(frame, "s1", "hi", finish=True)
    assert wecom.violations == []


async def test_what_breaks_with_its_effect_done_has_been_done(wecom: FakeAiBot, bot: Bot) -> None:
    frame = await bot.told(wecom.people.says("hello"))
    wecom.faults.add(Fault(kind="close", method="aibot_respond_msg", apply=True, times=1))
    with pytest.raises(RuntimeError, match="disconnected"):
        await bot.client.reply_stream(frame, "s1", "hi", finish=True)
    assert wecom.texts("zhangsan") == ["hi"]
