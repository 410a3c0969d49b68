"""The fake itself: as strict as Telegram, so that what passes against it has a chance out there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from telegram import Bot
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)
from telegram.request import HTTPXRequest

from tests.fakes.botapi.remote import RemoteTelegram
from tests.fakes.telegram_api import FakeTelegram, Fault


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def bot(fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setenv("PTB_TIMEDELTA", "true")  # else the library warns of its own future
    request = HTTPXRequest(read_timeout=0.5, httpx_kwargs={"trust_env": False})
    polls = HTTPXRequest(read_timeout=5.0, httpx_kwargs={"trust_env": False})
    async with Bot(fake.token, base_url=f"{fake.url}/bot", request=request, get_updates_request=polls) as made:
        yield made


async def ask(http: aiohttp.ClientSession, fake: FakeTelegram, method: str, **params: Any) -> tuple[int, Any]:
    async with http.post(f"{fake.url}/bot{fake.token}/{method}", json=params) as response:
        return response.status, await response.json()


async def refused(http: aiohttp.ClientSession, fake: FakeTelegram, method: str, **params: Any) -> str:
    status, answer = await ask(http, fake, method, **params)
    assert status == answer["error_code"] != 200
    assert answer["ok"] is False
    return str(answer["description"])


# -- Transports and addresses --


async def test_every_transport_carries_the_same_call(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    fake.people.opens_chat(5)
    url = f"{fake.url}/bot{fake.token}/sendMessage"
    markup = {"inline_keyboard": [[{"text": "好", "callback_data": "a"}]]}
    form = {"chat_id": "5", "text": "你好", "reply_markup": json.dumps(markup)}
    async with http.post(url, json={"chat_id": 5, "text": "你好", "reply_markup": markup}) as response:
        assert response.status == 200
    async with http.post(url, data=form) as response:
        assert response.status == 200
    parts = aiohttp.FormData(default_to_multipart=True)
    for name, value in form.items():
        parts.add_field(name, value)
    async with http.post(url, data=parts) as response:
        assert response.status == 200
    async with http.get(url, params=form) as response:
        assert response.status == 200
    sent = fake.messages(5)
    assert len(sent) == 4
    assert {message["text"] for message in sent} == {"你好"}
    assert all(message["reply_markup"] == markup for message in sent)


@pytest.mark.parametrize(
    ("call", "status", "description"),
    [
        pytest.param("bot1:wrong/getMe", 401, "Unauthorized", id="wrong token"),
        pytest.param("botnonsense/getMe", 404, "Not Found", id="no token at all"),
        pytest.param("bot{token}/sendTelepathy", 404, "Not Found: method not found", id="unknown method"),
    ],
)
async def test_unknown_addresses(
    fake: FakeTelegram, http: aiohttp.ClientSession, call: str, status: int, description: str
) -> None:
    async with http.get(f"{fake.url}/{call.format(token=fake.token)}") as response:
        assert response.status == status
        assert await response.json() == {"ok": False, "error_code": status, "description": description}


async def test_the_library_starts_against_it(fake: FakeTelegram, bot: Bot) -> None:
    assert (await bot.get_me()).username == fake.username
    fake.people.opens_chat(5)
    message = await bot.send_message(5, "*粗*体 and 👍", parse_mode="MarkdownV2")
    assert message.text == "粗体 and 👍"
    assert message.entities[0].type == "bold"
    assert await bot.send_message_draft(5, 9, "so far", api_kwargs={"can_stop": True})
    assert fake.state.chats[5].drafts[9]["can_stop"] is True


# -- getUpdates --


async def test_an_update_is_confirmed_by_a_higher_offset_only(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    first, second = (fake.people.says(5, text)["update_id"] for text in ("a", "b"))
    for _ in range(2):  # asking again without an offset brings the same ones
        _, answer = await ask(http, fake, "getUpdates")
        assert [update["update_id"] for update in answer["result"]] == [first, second]
    _, answer = await ask(http, fake, "getUpdates", offset=second)
    assert [update["update_id"] for update in answer["result"]] == [second]
    assert fake.unconfirmed() == [second]
    assert fake.state.updates[first].confirmed_at is not None
    await ask(http, fake, "getUpdates", offset=second + 1)
    assert fake.unconfirmed() == []


async def test_limit_and_negative_offset(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    ids = [fake.people.says(5, str(number))["update_id"] for number in range(5)]
    _, answer = await ask(http, fake, "getUpdates", limit=2)
    assert [update["update_id"] for update in answer["result"]] == ids[:2]
    _, answer = await ask(http, fake, "getUpdates", offset=-2)
    assert [update["update_id"] for update in answer["result"]] == ids[3:]
    assert fake.unconfirmed() == ids[3:]


async def test_a_long_poll_ends_with_the_update_or_with_time(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    _, answer = await ask(http, fake, "getUpdates", timeout=1)
    assert answer["result"] == []
    assert 0.9 <= clock() - started < 2
    poll = asyncio.create_task(ask(http, fake, "getUpdates", timeout=30))
    await asyncio.sleep(0.05)
    fake.people.says(5, "now")
    _, answer = await asyncio.wait_for(poll, 1)
    assert answer["result"][0]["message"]["text"] == "now"


async def test_the_older_of_two_pollers_gets_a_conflict(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    older = asyncio.create_task(ask(http, fake, "getUpdates", timeout=30))
    await asyncio.sleep(0.05)
    newer = asyncio.create_task(ask(http, fake, "getUpdates", timeout=1))
    status, answer = await asyncio.wait_for(older, 1)
    assert status == 409
    assert answer["description"].startswith("Conflict: terminated by other getUpdates request")
    assert (await newer)[0] == 200


async def test_a_webhook_excludes_polling(fake: FakeTelegram, bot: Bot) -> None:
    await bot.set_webhook("https://kefu.example/telegram/webhook", secret_token="s3cret")
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == ()


async def test_only_kinds_that_were_asked_for_arrive(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    asked = ["message", "stopped_message_generation"]
    await ask(http, fake, "getUpdates", allowed_updates=asked)
    fake.people.says(5, "hello")
    assert fake.people.blocks(5)["update_id"] is None
    assert fake.people.stops(5, 77)["update_id"] is not None
    _, answer = await ask(http, fake, "getUpdates")  # the choice is kept
    kinds = [set(update) - {"update_id"} for update in answer["result"]]
    assert kinds == [{"message"}, {"stopped_message_generation"}]
    await ask(http, fake, "getUpdates", allowed_updates=[])
    assert fake.people.stops(5, 77)["update_id"] is None


# -- Webhook --


class Receiver:
    """A webhook that fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.requests: list[tuple[str | None, Any]] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), await request.json()))
        if self.failures:
            self.failures -= 1
            return web.Response(status=500)
        return web.Response()


@pytest.fixture
async def receiver(fake: FakeTelegram) -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/telegram/webhook", made.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.sender.proxies["https://kefu.example"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_updates_are_posted_with_the_secret_until_they_are_taken(
    fake: FakeTelegram, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    receiver.failures = 2
    await ask(http, fake, "setWebhook", url="https://kefu.example/telegram/webhook", secret_token="abc_DEF-1")
    first = fake.people.says(5, "one")["update_id"]
    second = fake.people.says(5, "two")["update_id"]
    await fake.until(lambda: not fake.unconfirmed())
    assert [update["update_id"] for _, update in receiver.requests] == [first, first, first, second]
    assert {secret for secret, _ in receiver.requests} == {"abc_DEF-1"}
    _, info = await ask(http, fake, "getWebhookInfo")
    assert info["result"]["last_error_message"] == "Wrong response from the webhook: 500"
    assert info["result"]["pending_update_count"] == 0


async def test_one_update_can_be_posted_in_parallel(
    fake: FakeTelegram, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    await ask(http, fake, "setWebhook", url="https://kefu.example/telegram/webhook")
    update = fake.people.says(5, "one")["update_id"]
    assert await fake.sender.post(update, 4) == [200] * 4
    assert receiver.requests[0][0] is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        pytest.param({"url": "http://kefu.example/x"}, "An HTTPS URL must be provided", id="plain http"),
        pytest.param({"url": "https://kefu.example:9000/x"}, "only on ports 80, 88, 443 or 8443", id="odd port"),
        pytest.param({"url": "https://a.example/", "secret_token": "no spaces"}, "unallowed characters", id="secret"),
    ],
)
async def test_webhooks_it_refuses(
    fake: FakeTelegram, http: aiohttp.ClientSession, params: dict[str, str], words: str
) -> None:
    assert words in await refused(http, fake, "setWebhook", **params)


# -- Text --


@pytest.mark.parametrize(
    ("params", "description"),
    [
        pytest.param({"text": "  \n"}, "message text is empty", id="only space"),
        pytest.param({"text": "好" * 4097}, "message is too long", id="4097 characters"),
        pytest.param({"text": "👍" * 2048 + "好"}, "message is too long", id="4097 units in 2049 characters"),
        pytest.param({"text": "x", "parse_mode": "BBCode"}, "unsupported parse_mode", id="unknown mode"),
        pytest.param(
            {"text": "1.5", "parse_mode": "MarkdownV2"},
            "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
            id="unescaped dot",
        ),
        pytest.param(
            {"text": "好*粗", "parse_mode": "MarkdownV2"},
            "can't parse entities: Can't find end of Bold entity at byte offset 3",
            id="open bold",
        ),
        pytest.param(
            {"text": "好*粗", "parse_mode": "Markdown"},
            "can't parse entities: Can't find end of the entity starting at byte offset 3",
            id="open bold, legacy",
        ),
        pytest.param(
            {"text": "<h1>x</h1>", "parse_mode": "HTML"},
            'can\'t parse entities: Unsupported start tag "h1" at byte offset 0',
            id="unknown tag",
        ),
        pytest.param(
            {"text": "a < b", "parse_mode": "HTML"},
            "can't parse entities: Unclosed start tag at byte offset 2",
            id="bare angle",
        ),
        pytest.param(
            {"text": "<b>x</i>", "parse_mode": "HTML"},
            'can\'t parse entities: Unmatched end tag at byte offset 4, expected "</b>", found "</i>"',
            id="crossed tags",
        ),
        pytest.param(
            {"text": "👍", "entities": [{"type": "bold", "offset": 0, "length": 3}]},
            "ENTITY_BOUNDS_INVALID",
            id="entity past the end",
        ),
        pytest.param(
            {"text": "👍!", "entities": [{"type": "bold", "offset": 1, "length": 1}]},
            "ENTITY_BOUNDS_INVALID",
            id="entity inside a surrogate pair",
        ),
        pytest.param({"text": "x", "message_thread_id": 3}, "message thread not found", id="no such topic"),
        pytest.param(
            {"text": "x", "reply_parameters": {"message_id": 999}},
            "message to be replied not found",
            id="no such reply",
        ),
        pytest.param(
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "好" * 22}]]}},
            "BUTTON_DATA_INVALID",
            id="66 bytes of callback data",
        ),
    ],
)
async def test_messages_it_refuses(
    fake: FakeTelegram, http: aiohttp.ClientSession, params: dict[str, Any], description: str
) -> None:
    fake.people.opens_chat(5)
    assert await refused(http, fake, "sendMessage", chat_id=5, **params) == f"Bad Request: {description}"
    assert fake.texts(5) == []


@pytest.mark.parametrize(
    ("source", "mode", "text", "entities"),
    [
        pytest.param(
            r"*b _i_* ||s|| `c.` [好](https://a.example/\)) \.",
            "MarkdownV2",
            "b i s c. 好 .",
            [("bold", 0, 3), ("italic", 2, 1), ("spoiler", 4, 1), ("code", 6, 2), ("text_link", 9, 1)],
            id="markdown",
        ),
        pytest.param("```py\nx=1\n```", "MarkdownV2", "x=1", [("pre", 0, 3)], id="fence"),
        pytest.param(">q1\n>q2\nrest", "MarkdownV2", "q1\nq2\nrest", [("blockquote", 0, 5)], id="quote"),
        pytest.param("__u__ ~s~", "MarkdownV2", "u s", [("underline", 0, 1), ("strikethrough", 2, 1)], id="marks"),
        pytest.param(
            '👍<b>a &lt; <i>b</i></b> <a href="https://a.example/?x=1&amp;y=2">l</a>',
            "HTML",
            "👍a < b l",
            [("bold", 2, 5), ("italic", 6, 1), ("text_link", 8, 1)],
            id="html",
        ),
        pytest.param("  *x*  ", "MarkdownV2", "x", [("bold", 0, 1)], id="outer space goes"),
        pytest.param(
            "*b* [t](https://a.example) \\_", "Markdown", "b t _", [("bold", 0, 1), ("text_link", 2, 1)], id="old"
        ),
    ],
)
async def test_formatting_it_understands(
    fake: FakeTelegram, http: aiohttp.ClientSession, source: str, mode: str, text: str, entities: list[Any]
) -> None:
    fake.people.opens_chat(5)
    status, answer = await ask(http, fake, "sendMessage", chat_id=5, text=source, parse_mode=mode)
    assert status == 200, answer
    assert answer["result"]["text"] == text
    found = [(entity["type"], entity["offset"], entity["length"]) for entity in answer["result"]["entities"]]
    assert found == entities


async def test_exactly_4096_units_after_parsing_are_taken(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.opens_chat(5)
    await bot.send_message(5, "<b>" + "👍" * 2048 + "</b>", parse_mode="HTML")
    assert len(fake.texts(5)[0]) == 2048


# -- Edits, drafts, rich messages --


async def test_edits(fake: FakeTelegram, bot: Bot) -> None:
    theirs = fake.people.says(5, "hi")["message_id"]
    message = await bot.send_message(5, "one")
    with pytest.raises(BadRequest, match=r"(?i)message is not modified"):
        await message.edit_text("one")
    await message.edit_text("two")
    assert fake.texts(5) == ["two"]
    with pytest.raises(BadRequest, match=r"(?i)message to edit not found"):
        await bot.edit_message_text("x", chat_id=5, message_id=999)
    with pytest.raises(BadRequest, match=r"(?i)message can't be edited"):
        await bot.edit_message_text("x", chat_id=5, message_id=theirs)
    fake.people.deletes(5, message.message_id)
    with pytest.raises(BadRequest, match=r"(?i)message to edit not found"):
        await message.edit_text("three")


async def test_an_edit_without_a_keyboard_takes_it_away(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    fake.people.opens_chat(5)
    markup = {"inline_keyboard": [[{"text": "👍", "callback_data": "up"}]]}
    await ask(http, fake, "sendMessage", chat_id=5, text="one", reply_markup=markup)
    number = fake.messages(5)[0]["message_id"]
    await ask(http, fake, "editMessageText", chat_id=5, message_id=number, text="two")
    assert "reply_markup" not in fake.messages(5)[0]


async def test_drafts_are_for_private_chats_and_vanish(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    fake.people.opens_chat(5)
    fake.people.opens_chat(-7)
    assert (await ask(http, fake, "sendMessageDraft", chat_id=5, draft_id=3, text=""))[0] == 200
    assert "TEXTDRAFT_PEER_INVALID" in await refused(http, fake, "sendMessageDraft", chat_id=-7, draft_id=3, text="x")
    assert "RANDOM_ID_EMPTY" in await refused(http, fake, "sendMessageDraft", chat_id=5, draft_id=0, text="x")
    assert fake.texts(5) == []
    await ask(http, fake, "sendMessage", chat_id=5, text="final")
    assert fake.state.chats[5].drafts == {}


async def test_rich_messages_depend_on_the_servers_version(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.opens_chat(5)
    markdown = "# 标题\n\n" + "好" * 30_000
    sent = await bot.do_api_request(
        "sendRichMessage", api_kwargs={"chat_id": 5, "rich_message": {"markdown": markdown}}
    )
    assert sent["message_id"]
    assert fake.texts(5) == [markdown]
    with pytest.raises(BadRequest, match=r"(?i)too long"):
        await bot.do_api_request(
            "sendRichMessage", api_kwargs={"chat_id": 5, "rich_message": {"markdown": "x" * 32_769}}
        )
    with pytest.raises(BadRequest, match=r"(?i)exactly one"):
        await bot.do_api_request(
            "sendRichMessage", api_kwargs={"chat_id": 5, "rich_message": {"markdown": "x", "html": "x"}}
        )
    fake.methods.version = (10, 0)
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("sendRichMessage", api_kwargs={"chat_id": 5, "rich_message": {"markdown": "x"}})


# -- Buttons, commands, chats --


async def test_a_press_is_answered_once(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.opens_chat(5)
    message = await bot.send_message(5, "was it good?")
    query = fake.people.presses(5, message.message_id, "up:1")["id"]
    updates = await bot.get_updates()
    pressed = updates[-1].callback_query
    assert pressed is not None and pressed.data == "up:1"
    await pressed.answer("谢谢")
    assert fake.state.callbacks[query]["answered"]["text"] == "谢谢"
    with pytest.raises(BadRequest, match=r"(?i)query is too old"):
        await pressed.answer()


async def test_commands_and_profile_are_kept(fake: FakeTelegram, bot: Bot) -> None:
    assert await bot.set_my_commands([("help", "求助")], language_code="zh")
    assert (await bot.get_my_commands(language_code="zh"))[0].description == "求助"
    assert await bot.get_my_commands() == ()
    with pytest.raises(BadRequest, match=r"(?i)bot_command_invalid"):
        await bot.set_my_commands([("Help!", "no")])
    assert await bot.set_my_description("一个客服")
    assert await bot.set_my_short_description("客服")
    assert await bot.set_chat_menu_button()
    assert (await bot.get_my_description()).description == "一个客服"


async def test_doors_that_close(fake: FakeTelegram, bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)chat not found"):
        await bot.send_message(404, "x")
    fake.people.says(5, "hi")
    fake.people.blocks(5)
    with pytest.raises(Forbidden, match=r"(?i)bot was blocked by the user"):
        await bot.send_message(5, "x")
    fake.people.says(-1_000_000_000_007, "hi", sender=9)
    fake.people.kicks(-1_000_000_000_007)
    with pytest.raises(Forbidden, match=r"(?i)bot was kicked from the supergroup chat"):
        await bot.send_message(-1_000_000_000_007, "x")
    statuses = [
        update.my_chat_member.new_chat_member.status for update in await bot.get_updates() if update.my_chat_member
    ]
    assert statuses == ["kicked", "kicked"]


async def test_a_migrated_group_names_its_new_address(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.says(-42, "hi", sender=9)
    fake.people.migrates(-42, -1_000_000_000_042)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-42, "x")
    assert moved.value.new_chat_id == -1_000_000_000_042
    await bot.send_message(moved.value.new_chat_id, "x")


async def test_topics(fake: FakeTelegram, bot: Bot) -> None:
    forum = -1_000_000_000_009
    fake.people.says(forum, "hi", sender=9, topic=12)
    fake.people.opens_topic(forum, 13, closed=True)
    message = await bot.send_message(forum, "x", message_thread_id=12)
    assert message.is_topic_message
    with pytest.raises(BadRequest, match=r"(?i)topic_closed"):
        await bot.send_message(forum, "x", message_thread_id=13)
    fake.people.deletes_topic(forum, 12)
    with pytest.raises(BadRequest, match=r"(?i)message thread not found"):
        await bot.send_message(forum, "x", message_thread_id=12)


async def test_commands_and_mentions_are_marked_in_units(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.says(-7, f"👍 @{fake.username} 你好 /help@other_bot", sender=9)
    message = (await bot.get_updates())[0].message
    assert message is not None
    assert [(mark.type, mark.offset, mark.length) for mark in message.entities] == [
        ("mention", 3, 14),
        ("bot_command", 21, 15),
    ]


# -- Faults --


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault(kind="flood", retry_after=7), RetryAfter, id="429"),
        pytest.param(Fault(kind="error", code=502, description="Bad Gateway"), NetworkError, id="502"),
        pytest.param(Fault(kind="html", code=502), NetworkError, id="a proxy's page"),
        pytest.param(Fault(kind="error", code=401, description="Unauthorized"), InvalidToken, id="401"),
        pytest.param(
            Fault(kind="error", code=403, description="Forbidden: bot was blocked by the user"), Forbidden, id="403"
        ),
        pytest.param(Fault(kind="close"), NetworkError, id="closed"),
        pytest.param(Fault(kind="reset"), NetworkError, id="reset"),
        pytest.param(Fault(kind="cut"), NetworkError, id="cut"),
        pytest.param(Fault(kind="hang"), TimedOut, id="hang"),
    ],
)
@pytest.mark.parametrize("apply", [pytest.param(False, id="not applied"), pytest.param(True, id="applied")])
async def test_faults_as_the_library_meets_them(
    fake: FakeTelegram, bot: Bot, fault: Fault, error: type[Exception], apply: bool
) -> None:
    fake.people.opens_chat(5)
    programmed = Fault(
        kind=fault.kind,
        method="sendMessage",
        code=fault.code,
        description=fault.description,
        retry_after=fault.retry_after,
        apply=apply,
        times=1,
    )
    fake.faults.add(programmed)
    with pytest.raises(error):
        await bot.send_message(5, "first")
    assert programmed.fired == 1
    assert fake.texts(5) == (["first"] if apply else [])
    assert [call.applied for call in fake.calls("sendMessage")] == [apply]
    await bot.send_message(5, "second")
    assert fake.texts(5)[-1] == "second"


async def test_a_fault_can_strike_every_third_call_of_one_chat(fake: FakeTelegram, bot: Bot) -> None:
    for chat in (5, 6):
        fake.people.opens_chat(chat)
    fake.faults.add(Fault(kind="flood", method="sendMessage", chat=5, skip=1, every=3))
    refused_calls = []
    for number in range(8):
        await bot.send_message(6, str(number))
        try:
            await bot.send_message(5, str(number))
        except RetryAfter:
            refused_calls.append(number)
    assert refused_calls == [1, 4, 7]


async def test_truncated_and_misshapen_answers(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    fake.people.opens_chat(5)
    url = f"{fake.url}/bot{fake.token}/sendMessage"
    fake.faults.add(Fault(kind="truncated", method="sendMessage", apply=True, times=1))
    fake.faults.add(Fault(kind="shape", method="sendMessage", body=["what"], times=1))
    async with http.post(url, json={"chat_id": 5, "text": "x"}) as response:
        assert response.status == 200
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra"):
            json.loads(await response.text())
    async with http.post(url, json={"chat_id": 5, "text": "x"}) as response:
        assert await response.json() == ["what"]


async def test_a_slow_answer_is_still_the_true_one(fake: FakeTelegram, bot: Bot) -> None:
    fake.people.opens_chat(5)
    fake.faults.add(Fault(kind="slow", method="sendMessage", seconds=0.2))
    clock = asyncio.get_running_loop().time
    started = clock()
    await bot.send_message(5, "x")
    assert clock() - started >= 0.2


async def test_flood_limits_when_switched_on(http: aiohttp.ClientSession) -> None:
    async with FakeTelegram(flood_limits=True) as strict:
        strict.people.opens_chat(5)
        statuses = [(await ask(http, strict, "sendMessage", chat_id=5, text=str(n)))[0] for n in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        status, answer = await ask(http, strict, "sendMessage", chat_id=5, text="again")
        assert status == 429
        assert answer["parameters"]["retry_after"] >= 1


# -- As a process of its own --


async def test_it_keeps_everything_over_its_own_restart(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    file = tmp_path / "telegram.json"
    async with FakeTelegram(state_file=file) as first:
        first.people.says(5, "hello")
        await ask(http, first, "sendMessage", chat_id=5, text="welcome")
    async with FakeTelegram(state_file=file) as second:
        assert second.texts(5) == ["welcome"]
        _, answer = await ask(http, second, "getUpdates")
        assert answer["result"][0]["message"]["text"] == "hello"
        assert [call.method for call in second.calls()] == ["sendMessage", "getUpdates"]


async def test_the_control_side_does_what_the_attributes_do(fake: FakeTelegram, http: aiohttp.ClientSession) -> None:
    remote = RemoteTelegram(fake.url, fake.token, http)
    told = await remote.do("says", chat=5, text="你好")
    assert fake.unconfirmed() == [told["update_id"]]
    await remote.fault(Fault(kind="flood", method="sendMessage", times=1))
    assert "Too Many Requests" in await refused(http, fake, "sendMessage", chat_id=5, text="x")
    await ask(http, fake, "sendMessage", chat_id=5, text="y")
    assert (await remote.faults(clear=True))[0].fired == 1
    assert [item["text"] for item in await remote.messages(5)] == ["y"]
    assert [call.status for call in await remote.calls("sendMessage")] == [429, 200]
    assert await remote.unconfirmed() == 1
