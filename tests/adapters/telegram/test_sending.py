"""Showing and sending, against the fake Bot API."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import structlog

from adapters.telegram.channel import TelegramChannel
from adapters.telegram.timing import Timing
from bot.errors import (
    ChannelMoved,
    CredentialsRefused,
    DestinationGone,
    NotSent,
    PerhapsSent,
    SendError,
    Undeliverable,
)
from bot.messages import ConversationRef, Outcome, Reply, ReplyAction, Source
from tests.adapters.telegram.conftest import Build, Running, Until, conversation
from tests.adapters.telegram.doubles import TOKEN
from tests.fakes.botapi.faults import FloodLimits
from tests.fakes.telegram_api import FakeTelegram, Fault

GROUP = -1001234567890
TURN = "0123456789abcdef0123456789abcdef"
ANSWER = Reply(outcome=Outcome.ANSWERED, text="七天内可以**退货**。", language="zh", turn_id=TURN)
TABLE = replace(ANSWER, text="| 地区 | 运费 |\n|---|---|\n| 上海 | 8 元 |")


@pytest.fixture(autouse=True)
def _known_chats(fake: FakeTelegram) -> None:
    for chat in (5, 6, GROUP):
        fake.people.opens_chat(chat)


async def send(
    channel: TelegramChannel, reply: Reply = ANSWER, *, to: ConversationRef | None = None, replaces: str | None = None
) -> list[str]:
    place, ids = to or conversation(), []
    for n, part in enumerate(channel.render(reply)):
        await channel.wait_for_slot(place)
        written_into = replaces if n == 0 else None
        ids.append(await channel.send(place, part, replaces=written_into, delivery_id=1, reply=reply))
    return ids


async def show(channel: TelegramChannel, text: str, *, chat: int = 5, shown: str | None = None) -> str | None:
    return await channel.show(conversation(chat), text, shown=shown, turn_id=TURN)


# -- Final replies --


async def test_a_reply_arrives_with_its_formatting_sources_and_buttons(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    source = Source(id="1", title="退货政策", url="https://shop.example.com/returns")
    (number,) = await send(channel, replace(ANSWER, sources=(source,), actions=(ReplyAction.FEEDBACK,)))
    (message,) = fake.messages(5)
    assert str(message["message_id"]) == number
    assert message["text"] == "七天内可以退货。\n\n来源：退货政策"
    assert [entity["type"] for entity in message["entities"]] == ["bold", "text_link"]
    assert [button["callback_data"] for button in message["reply_markup"]["inline_keyboard"][0]] == [
        f"fb:up:{TURN}", f"fb:down:{TURN}",
    ]  # fmt: skip


async def test_a_long_reply_arrives_whole_in_several_messages(fake: FakeTelegram, channel: TelegramChannel) -> None:
    text = "\n\n".join(f"{number}. " + "👍好" * 400 for number in range(9))
    await send(channel, replace(ANSWER, text=text))
    said = fake.texts(5)
    assert len(said) > 1
    assert "".join("".join(part.split()) for part in said) == "".join(text.split())


async def test_a_table_is_a_rich_message(fake: FakeTelegram, channel: TelegramChannel) -> None:
    await send(channel, TABLE)
    assert [call.method for call in fake.calls() if call.applied] == ["sendRichMessage"]


async def test_a_server_without_rich_messages_is_asked_once_in_a_process(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    fake.methods.version = (10, 0)
    for chat in (5, 6):
        await send(channel, TABLE, to=conversation(chat))
    assert len(fake.calls("sendRichMessage")) == 1
    assert len(fake.texts(5) + fake.texts(6)) == 2
    await send(channel)  # and the token is still good
    assert fake.texts(5)[-1] == "七天内可以退货。"


LADDER = [
    pytest.param("sendRichMessage", TABLE, ["sendRichMessage", "sendMessage"], id="rich to entities"),
    pytest.param("sendMessage", ANSWER, ["sendMessage", "sendMessage"], id="entities to plain"),
]


@pytest.mark.parametrize(("method", "reply", "calls"), LADDER)
async def test_a_refused_form_costs_no_answer(
    fake: FakeTelegram, channel: TelegramChannel, method: str, reply: Reply, calls: list[str]
) -> None:
    words = "Bad Request: can't parse entities: Unsupported"
    fake.faults.add(Fault(kind="error", method=method, code=400, description=words, times=1))
    await send(channel, reply)
    assert [call.method for call in fake.calls()] == calls
    assert len(fake.texts(5)) == 1


async def test_the_lowest_rung_is_plain_words_without_buttons(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.faults.add(Fault(kind="error", code=400, description="Bad Request: BUTTON_DATA_INVALID", times=2))
    await send(channel, replace(ANSWER, actions=(ReplyAction.FEEDBACK,)))
    (message,) = fake.messages(5)
    assert message["text"] == "七天内可以退货。"
    assert "entities" not in message
    assert "reply_markup" not in message


async def test_what_is_refused_in_every_form_is_undeliverable(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.faults.add(Fault(kind="error", code=400, description="Bad Request: message is too ugly"))
    with pytest.raises(Undeliverable):
        await send(channel, replace(ANSWER, actions=(ReplyAction.FEEDBACK,)))
    assert len(fake.calls()) == 3


# -- Into a message that is there --


async def test_a_reply_is_written_into_its_placeholder_and_repeating_it_is_harmless(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    group = conversation(GROUP)
    shown = await show(channel, "七天", chat=GROUP)
    reply = replace(ANSWER, actions=(ReplyAction.FEEDBACK,))
    for _ in range(3):
        assert await send(channel, reply, to=group, replaces=shown) == [shown]
    (message,) = fake.messages(GROUP)
    assert message["text"] == "七天内可以退货。"
    assert message["reply_markup"]


@pytest.mark.parametrize("words", ["message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID"])
async def test_where_the_placeholder_is_gone_a_new_message_is_sent(
    fake: FakeTelegram, channel: TelegramChannel, words: str
) -> None:
    fake.faults.add(Fault(kind="error", method="editMessageText", code=400, description=f"Bad Request: {words}"))
    (number,) = await send(channel, to=conversation(GROUP), replaces="4711")
    assert number != "4711"
    assert fake.texts(GROUP) == ["七天内可以退货。"]


async def test_an_edit_goes_down_the_ladder_too(fake: FakeTelegram, channel: TelegramChannel) -> None:
    shown = await show(channel, "七天", chat=GROUP)
    words = "Bad Request: can't parse entities"
    fake.faults.add(Fault(kind="error", method="editMessageText", code=400, description=words, times=1))
    await send(channel, to=conversation(GROUP), replaces=shown)
    assert fake.texts(GROUP) == ["七天内可以退货。"]


# -- Topics, migrations and closed doors --


@pytest.mark.parametrize("fate", ["closed", "deleted"])
async def test_a_reply_to_a_topic_that_is_gone_goes_to_the_chat(
    fake: FakeTelegram, channel: TelegramChannel, fate: str
) -> None:
    fake.people.opens_topic(GROUP, 77, closed=fate == "closed")
    if fate == "deleted":
        fake.people.deletes_topic(GROUP, 77)
    await send(channel, to=conversation(GROUP, 77))
    (message,) = fake.messages(GROUP)
    assert "message_thread_id" not in message


async def test_a_reply_to_a_topic_stays_in_it(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.people.opens_topic(GROUP, 77)
    await send(channel, to=conversation(GROUP, 77))
    shown = await channel.show(conversation(GROUP, 77), "", shown=None, turn_id=TURN)
    assert [message["message_thread_id"] for message in fake.messages(GROUP)] == [77, 77]
    await channel.show(conversation(GROUP, 77), "", shown=shown, turn_id=TURN)
    assert fake.calls("sendChatAction")[0].params["message_thread_id"] == "77"


async def test_a_migrated_group_is_told_with_its_new_name(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.people.opens_chat(-55)
    fake.people.migrates(-55, GROUP)
    with pytest.raises(ChannelMoved) as moved:
        await send(channel, to=conversation(-55))
    assert moved.value.new_channel == str(GROUP)


CLOSED: list[Any] = [
    pytest.param(lambda people: people.blocks(5), 5, id="blocked"),
    pytest.param(lambda people: people.vanishes(5), 5, id="deleted account"),
    pytest.param(lambda people: people.kicks(GROUP), GROUP, id="kicked"),
    pytest.param(lambda people: None, 4711, id="never seen"),
]


@pytest.mark.parametrize(("deed", "chat"), CLOSED)
async def test_a_closed_door_is_gone(fake: FakeTelegram, channel: TelegramChannel, deed: Any, chat: int) -> None:
    deed(fake.people)
    with pytest.raises(DestinationGone):
        await send(channel, to=conversation(chat))


# -- Was it sent? --

FATES = [
    pytest.param(Fault(kind="flood", retry_after=7), NotSent, 7.0, id="429"),
    pytest.param(Fault(kind="flood", retry_after=0), NotSent, 1.0, id="429 with 0"),
    pytest.param(Fault(kind="flood", retry_after=-9), NotSent, 1.0, id="429 with less than 0"),
    pytest.param(Fault(kind="flood", retry_after=10**9), NotSent, 3600.0, id="429 for ever"),
    pytest.param(Fault(kind="flood", retry_after=None), NotSent, 1.0, id="429 without a time"),
    pytest.param(
        Fault(kind="error", code=429, description="x", parameters={"retry_after": "soon"}), NotSent, 1.0,
        id="429 in words",
    ),
    pytest.param(Fault(kind="error", code=500), NotSent, None, id="500"),
    pytest.param(Fault(kind="html", code=502), NotSent, None, id="502 page"),
    pytest.param(Fault(kind="html", code=503), NotSent, None, id="503 page"),
    pytest.param(Fault(kind="html", code=200), PerhapsSent, None, id="200 page"),
    pytest.param(Fault(kind="truncated", apply=True), PerhapsSent, None, id="half an answer"),
    pytest.param(Fault(kind="shape", apply=True, body={"ok": True}), PerhapsSent, None, id="no result"),
    pytest.param(Fault(kind="shape", body={"ok": True, "result": {}}), PerhapsSent, None, id="no message"),
    pytest.param(Fault(kind="shape", body=[1]), PerhapsSent, None, id="a list"),
    pytest.param(Fault(kind="close", apply=True), PerhapsSent, None, id="closed after taking it"),
    pytest.param(Fault(kind="reset", apply=True), PerhapsSent, None, id="reset after taking it"),
    pytest.param(Fault(kind="cut", apply=True), PerhapsSent, None, id="cut off"),
    pytest.param(Fault(kind="error", code=401, description="Unauthorized"), CredentialsRefused, None, id="401"),
    pytest.param(Fault(kind="error", code=404, description="Not Found"), CredentialsRefused, None, id="404"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "retry_after"), FATES)
async def test_what_became_of_a_send_is_told_exactly(
    fake: FakeTelegram,
    channel: TelegramChannel,
    fault: Fault,
    error: type[SendError],
    retry_after: float | None,
) -> None:
    fake.faults.add(replace(fault))  # a fault counts: each run has its own
    with pytest.raises(error) as raised:
        await send(channel)
    assert type(raised.value) is error
    assert getattr(raised.value, "retry_after", None) == retry_after
    assert len(fake.calls()) == 1, "an attempt that may have arrived is not repeated here"


async def test_an_answer_that_never_comes_is_given_up(fake: FakeTelegram, make: Build) -> None:
    channel = await make(timing=Timing(answer=0.3))
    fake.faults.add(Fault(kind="hang", apply=True))
    began = time.monotonic()
    with pytest.raises(PerhapsSent):
        await send(channel)
    assert time.monotonic() - began < 5.0


async def test_a_server_that_is_not_there_was_surely_not_reached(make: Build) -> None:
    channel = await make(api_url="http://127.0.0.1:9")
    with pytest.raises(NotSent):
        await send(channel)


async def test_a_429_parks_its_chat_and_no_other(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.faults.add(Fault(kind="flood", chat=5, retry_after=9, times=1))
    with pytest.raises(NotSent):
        await send(channel)
    with pytest.raises(NotSent) as waiting:
        await send(channel)
    assert waiting.value.retry_after == pytest.approx(9, abs=1)
    assert len(fake.calls(chat=5)) == 1, "Telegram asked for silence"
    await send(channel, to=conversation(6))
    assert fake.texts(6) == ["七天内可以退货。"]


async def test_while_the_token_is_refused_only_the_receiver_asks(
    fake: FakeTelegram, channel: TelegramChannel, running: Running, until: Until
) -> None:
    async with running(channel):
        await until(lambda: channel.health().up)
        revoked = fake.faults.add(Fault(kind="error", method="sendMessage", code=401, description="Unauthorized"))
        await until(lambda: fake.calls("setChatMenuButton"))
        for _ in range(5):
            with pytest.raises(CredentialsRefused):
                await send(channel)
        assert revoked.fired <= 2, "a poll that succeeds in between clears us once"
        fake.faults.clear()
        await until(lambda: channel.health().up)
        await send(channel)
    assert fake.texts(5) == ["七天内可以退货。"]


# -- Showing --


async def test_a_private_answer_grows_as_one_draft_with_a_stop_button(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    assert channel.show_interval(conversation()) == 0.4
    for text in ("", "七天", "七天内可以**退货**"):
        assert await show(channel, text) is None
    calls = fake.calls("sendMessageDraft")
    assert len({call.params["draft_id"] for call in calls}) == 1
    assert [call.params["text"] for call in calls] == ["", "七天", "七天内可以退货"]
    (draft,) = fake.state.chats[5].drafts.values()
    assert draft["can_stop"]
    await send(channel)
    assert fake.texts(5) == ["七天内可以退货。"]
    assert fake.state.chats[5].drafts == {}


async def test_a_group_answer_grows_in_one_message(fake: FakeTelegram, channel: TelegramChannel) -> None:
    assert channel.show_interval(conversation(GROUP)) == 3.0
    assert channel.placeholder_first(conversation(GROUP))
    assert not channel.placeholder_first(conversation())
    shown = await show(channel, "", chat=GROUP)
    assert shown is not None
    assert fake.texts(GROUP) == ["…"]
    assert await show(channel, "七天", chat=GROUP, shown=shown) == shown
    assert await show(channel, "七天内", chat=GROUP, shown=shown) == shown
    assert await show(channel, "七天内", chat=GROUP, shown=shown) == shown, "the same words are no failure"
    assert fake.texts(GROUP) == ["七天内"]


async def test_snapshots_that_would_have_to_wait_are_left_out(fake: FakeTelegram, channel: TelegramChannel) -> None:
    shown = None
    for number in range(30):
        shown = await show(channel, f"七天{number}", chat=GROUP, shown=shown)
    assert len(fake.calls(chat=GROUP)) < 5
    began = time.monotonic()
    await send(channel, to=conversation(GROUP), replaces=shown)
    assert time.monotonic() - began < 3.0, "the final text has its place"


async def test_a_draft_that_fails_is_told_and_the_final_reply_does_not_care(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    fake.faults.add(Fault(kind="error", method="sendMessageDraft", code=400, description="Bad Request: TEXTDRAFT"))
    with pytest.raises(SendError):
        await show(channel, "七天")
    await send(channel)
    assert fake.texts(5) == ["七天内可以退货。"]


async def test_a_server_without_drafts_gets_typing_instead(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.methods.version = (9, 0)
    with pytest.raises(NotSent):
        await show(channel, "七天")
    assert await show(channel, "七天内") is None
    assert [call.method for call in fake.calls()] == ["sendMessageDraft", "sendChatAction"]
    assert channel.show_interval(conversation()) == 4.0


# -- Many at once, and secrets --


async def test_a_crowd_is_answered_at_the_pace_that_telegram_allows(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    """30 messages a second in all: kept but for the network's own unevenness, and a refusal costs no answer."""
    fake.server.limits = FloodLimits()
    crowd = range(100, 160)

    async def answer(chat: int) -> None:
        fake.people.opens_chat(chat)
        while True:
            try:
                await send(channel, to=conversation(chat))
            except NotSent as refused:
                assert refused.retry_after is not None
                await asyncio.sleep(refused.retry_after)
            else:
                return

    await asyncio.gather(*(answer(chat) for chat in crowd))
    assert [len(fake.texts(chat)) for chat in crowd] == [1] * 60
    assert len([call for call in fake.calls() if call.status == 429]) < 10


async def test_the_token_is_in_no_log_line_and_no_error(
    fake: FakeTelegram, make: Build, running: Running, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    channel = await make()
    secret = TOKEN.partition(":")[2]
    errors: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with running(channel):
            await until(lambda: channel.health().up)
            for chat, kind in enumerate(("reset", "html", "truncated", "error", "flood"), start=100):
                fake.faults.clear()
                fake.faults.add(Fault(kind=kind, method="*"))  # type: ignore[arg-type]
                fake.faults.add(Fault(kind=kind, method="getUpdates", times=1))  # type: ignore[arg-type]
                fake.people.says(5, "the customer's own words")
                try:
                    await send(channel, replace(ANSWER, text="the answer's own words"), to=conversation(chat))
                except SendError as error:
                    chain = [error, error.__cause__, error.__context__]
                    errors += [f"{link!r} {link}" for link in chain]
    everything = "\n".join([caplog.text, str(logs), *errors, channel.health().detail, repr(channel)])
    assert errors
    assert secret not in everything
    assert "own words" not in everything
