"""What a customer reads: plain words in few messages, whatever the answer was written in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapters.wecom.kf import phrases
from adapters.wecom.kf.replies import MENU_LIMIT, MOST_MESSAGES, MOST_OF_AN_AGENT, Words, render, welcome
from bot.messages import Author, ConversationRef, Outcome, ReplyAction, Source, Ticket, TicketState
from tests.adapters.wecom.kf.house import a_reply
from tests.adapters.wecom.kf.words import RULES, TABLE, long_answer

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICKET = Ticket(
    number="TICKET-7K2M9Q4D",
    subject="退款",
    state=TicketState.OPEN,
    requester="wecom_kf:wmA",
    conversation=ConversationRef(platform="wecom_kf", account="ww", channel="wk", thread="wmA"),
    created_at=AT,
    updated_at=AT,
    due_at=AT + timedelta(hours=24),
)


def texts(words: str, **about: object) -> list[str]:
    parts = render(a_reply(words, **about))
    assert all(len(part.text.encode()) <= 2048 for part in parts)
    assert [part.text for part in parts] == [part.payload.text for part in parts if isinstance(part.payload, Words)]
    return [part.text for part in parts]


def test_markup_becomes_words_that_read_well() -> None:
    [text] = texts(
        f"# 退换货\n\n{RULES}\n\n{TABLE}\n1. 打开**订单**\n2. 看[这里](https://a.example/b)再选\n\n> 生鲜除外"
    )
    assert text == (
        f"【退换货】\n{RULES}\n\n"
        "地区：北京\n运费：0 元\n到货：1 天\n备注：当天 11 点前下单\n\n"
        "地区：新疆\n运费：18 元\n到货：5–7 天\n备注：偏远地区另计 https://shop.example.com/far?a=1\n\n"
        "1. 打开订单\n2. 看这里 https://a.example/b 再选\n\n"
        "> 生鲜除外"
    )


def test_five_thousand_characters_with_a_table_are_three_messages_that_end_where_a_reader_pauses() -> None:
    answer = long_answer()
    assert len(answer) == 5000
    source = Source(id="a", title="退货政策", url="https://shop.example.com/returns?x=1&y=2")
    parts = texts(answer, sources=(source,))
    assert len(parts) == MOST_MESSAGES
    assert parts[0].startswith("【退换货说明】\n签收之日起")
    assert "地区：新疆\n运费：18 元" in parts[0]
    assert "|" not in "".join(parts)
    assert "**" not in "".join(parts)
    assert all(part.endswith(("。", "：")) for part in parts[:2])
    words, notice, sources = parts[2].rsplit("\n\n", 2)
    assert words.endswith("。")
    assert notice == phrases.SHORTENED["zh"]
    assert sources == "来源：退货政策 https://shop.example.com/returns?x=1&y=2"
    # Nothing is missing or twice up to where it ends.
    numbers = [int(line.partition(".")[0]) for line in "\n".join(parts).split("\n") if line[:1].isdecimal()]
    assert numbers == list(range(1, numbers[-1] + 1))


@pytest.mark.parametrize("characters", [682, 683, 1365, 1366, 2048, 2049, 6000, 20_000])
def test_every_limit_holds_at_every_length(characters: int) -> None:
    words = "汉" * characters
    parts = texts(words)
    assert len(parts) <= MOST_MESSAGES
    whole = "".join(parts)
    assert whole == words or whole.endswith(phrases.SHORTENED["zh"])


def test_emoji_and_accents_are_not_torn() -> None:
    family = "👨‍👩‍👧‍👦"
    whole = "".join(texts(family * 200))
    assert whole.removesuffix(phrases.SHORTENED["zh"]).strip().replace(family, "") == ""


def test_an_agent_is_named_and_may_say_more() -> None:
    said = {"author": Author.AGENT, "agent": "小林 <@all>\n", "outcome": Outcome.HANDOFF}
    assert texts("您的包裹已寄出。", **said) == ["客服 小林 ＜@all>：\n\n您的包裹已寄出。"]
    parts = texts(RULES * 60, **said)
    assert len(parts) > MOST_MESSAGES
    parts = texts(RULES * 200, **said)
    assert len(parts) == MOST_OF_AN_AGENT
    assert parts[-1].endswith(phrases.SHORTENED_AGENT["zh"])


def test_a_ticket_that_the_words_do_not_name_is_named_below() -> None:
    assert texts(f"已登记 {TICKET.number}", ticket=TICKET) == [f"已登记 {TICKET.number}"]
    [text] = texts("已登记。", ticket=TICKET)
    assert text.startswith("已登记。\n\n工单 TICKET-7K2M9Q4D · 已登记，等待同事处理\n")
    parts = texts(RULES * 200, ticket=TICKET, language="en")
    assert len(parts) == MOST_MESSAGES
    assert TICKET.number in parts[-1]
    assert phrases.SHORTENED["en"] in parts[-1]


def test_sources_stand_in_lines_of_their_own_each_once() -> None:
    sources = tuple(Source(id=str(n), title=f"政策 {n % 4}", url=f"https://x.example/{n % 4}") for n in range(8))
    assert texts("好", sources=sources) == [
        "好\n\n来源：\n政策 0 https://x.example/0\n政策 1 https://x.example/1\n政策 2 https://x.example/2"
    ]
    assert texts("好", sources=(Source(id="1", title="x" * 5000, url="https://x.example/" + "y" * 3000),))
    assert texts("好", sources=(Source(id="1", title=""),)) == ["好"]


def test_a_menu_hangs_under_the_last_message_where_it_costs_none() -> None:
    offered = (ReplyAction.FEEDBACK, ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON)
    [part] = render(a_reply("好", actions=offered, turn_id="t" * 32))
    assert isinstance(part.payload, Words)
    menu = part.payload.body()["msgmenu"]
    assert menu["head_content"] == "好"
    assert [line["click"]["id"] for line in menu["list"]] == [
        f"kefu_fb:up|{'t' * 32}", f"kefu_fb:down|{'t' * 32}", "kefu_act:ticket|", "kefu_act:person|",
    ]  # fmt: skip
    assert all(1 <= len(line["click"]["content"].encode()) <= 128 for line in menu["list"])
    *_, last = render(a_reply("汉" * (MENU_LIMIT // 3 + 1), actions=offered, turn_id="t"))
    assert isinstance(last.payload, Words)
    assert last.payload.body()["msgtype"] == "text"
    [long_turn] = render(a_reply("好", actions=offered, turn_id="t" * 200))
    assert isinstance(long_turn.payload, Words)
    assert long_turn.payload.menu == ()


def test_the_welcome_shows_the_way_to_a_person() -> None:
    body = welcome().body()
    assert body["msgtype"] == "msgmenu"
    assert len(body["msgmenu"]["head_content"].encode()) <= MENU_LIMIT
    assert [line["click"]["id"] for line in body["msgmenu"]["list"]] == ["kefu_act:person|"]
