"""Replies as Telegram messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from adapters.rendering.safe_text import utf16_length
from adapters.telegram.replies import Forms, render, snapshot
from bot.messages import (
    Author,
    ConversationRef,
    Language,
    Outcome,
    Reply,
    ReplyAction,
    Source,
    Ticket,
    TicketState,
)
from bot.ports import Part

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TURN = "0123456789abcdef0123456789abcdef"
ANSWER = Reply(outcome=Outcome.ANSWERED, text="七天内可以**退货**。", language="zh", turn_id=TURN)
TICKET = Ticket(
    number="TICKET-7K2M9Q4D", subject="包裹丢失", state=TicketState.OPEN, requester="telegram:5",
    conversation=ConversationRef(platform="telegram", account="1", channel="5"),
    created_at=NOON, updated_at=NOON, due_at=NOON,
)  # fmt: skip


def forms(part: Part) -> Forms:
    assert isinstance(part.payload, Forms)
    return part.payload


def only(reply: Reply) -> Forms:
    (part,) = render(reply)
    return forms(part)


def marked(found: Forms, kind: str) -> list[str]:
    units = found.text.encode("utf-16-le")
    return [
        units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")
        for entity in found.entities
        if entity.type == kind
    ]


def test_markdown_becomes_entities() -> None:
    found = only(ANSWER)
    assert found.text == "七天内可以退货。"
    assert marked(found, "bold") == ["退货"]


SOURCES = (
    Source(id="1", title="退货政策", url="https://shop.example.com/returns"),
    Source(id="2", title="运费说明"),
)


@pytest.mark.parametrize(
    ("language", "line"), [("zh", "来源：退货政策、运费说明"), ("en", "Source: 退货政策, 运费说明")]
)
def test_sources_stand_under_the_answer_with_their_links(language: Language, line: str) -> None:
    found = only(replace(ANSWER, sources=SOURCES, language=language))
    assert found.text.split("\n")[-1] == line
    assert marked(found, "text_link") == ["退货政策"]
    assert [entity.url for entity in found.entities if entity.url] == ["https://shop.example.com/returns"]
    assert "https://shop.example.com/returns" in found.plain


def test_a_source_is_named_once_and_never_more_than_three() -> None:
    many = tuple(Source(id=str(n), title=f"T{n // 2}") for n in range(20))
    assert only(replace(ANSWER, sources=many)).text.endswith("来源：T0、T1、T2")


def test_a_title_can_not_forge_formatting_or_a_link() -> None:
    title = "[click](https://evil.example) **b** `c` <b>\n# x"
    found = only(replace(ANSWER, text="ok", sources=(Source(id="1", title=title, url="https://a.example/(x)"),)))
    assert "来源：[click](https://evil.example) **b** `c` <b> # x" in found.text
    assert not marked(found, "bold")
    assert not marked(found, "code")
    assert all("evil" not in entity.url for entity in found.entities)


def test_what_follows_an_unclosed_code_block_is_not_code() -> None:
    found = only(replace(ANSWER, text="```\nx = 1", sources=SOURCES))
    assert marked(found, "pre") == ["x = 1"]


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("state", list(TicketState))
def test_a_ticket_card_names_number_state_and_what_comes_next(language: Language, state: TicketState) -> None:
    found = only(replace(ANSWER, text="好的。", ticket=replace(TICKET, state=state), language=language))
    assert marked(found, "code") == [TICKET.number], "a tap copies it"
    card = found.text.partition("🎫 ")[2].split("\n")
    assert len(card) == 2
    assert all(card)


def test_a_card_does_not_repeat_what_the_words_above_say() -> None:
    found = only(replace(ANSWER, text=f"已为您登记工单 {TICKET.number}。", ticket=TICKET))
    assert found.text.split("\n")[-1] == f"🎫 {TICKET.number} · 已登记，等待同事处理"


@pytest.mark.parametrize(
    ("agent", "language", "line"),
    [
        pytest.param("小王", "zh", "👤 客服 小王：", id="named"),
        pytest.param("A*n*na", "en", "👤 A*n*na from our support team:", id="stars in a name"),
        pytest.param("", "zh", "👤 人工客服：", id="unnamed"),
    ],
)
def test_an_agents_words_carry_the_agents_name(agent: str, language: Language, line: str) -> None:
    found = only(replace(ANSWER, author=Author.AGENT, agent=agent, language=language))
    assert found.text.split("\n")[0] == line
    assert marked(found, "bold")[0] == line.removeprefix("👤 ")


def test_a_notice_to_operators_is_only_its_words() -> None:
    notice = replace(ANSWER, author=Author.NOTICE, ticket=TICKET, sources=SOURCES, text="新工单")
    assert only(notice).text == "新工单"


def test_buttons_carry_short_opaque_data() -> None:
    found = only(replace(ANSWER, actions=(ReplyAction.FEEDBACK, ReplyAction.TALK_TO_PERSON, ReplyAction.OPEN_TICKET)))
    data = [[button.data for button in row] for row in found.keyboard]
    assert data == [[f"fb:up:{TURN}", f"fb:down:{TURN}"], [f"act:ticket:{TURN}", f"act:person:{TURN}"]]
    assert max(len(entry.encode()) for row in data for entry in row) <= 64


def test_buttons_that_telegram_would_refuse_are_left_out() -> None:
    assert only(replace(ANSWER, actions=(ReplyAction.FEEDBACK,), turn_id="长" * 40)).keyboard == ()
    assert only(replace(ANSWER, actions=(ReplyAction.FEEDBACK,), turn_id="")).keyboard == ()


def test_a_long_answer_is_several_messages_with_the_buttons_on_the_last() -> None:
    text = "\n\n".join(f"第{n}条。" + "👍好" * 300 for n in range(12))
    parts = render(replace(ANSWER, text=text, actions=(ReplyAction.FEEDBACK,), sources=SOURCES))
    assert len(parts) > 2
    assert all(0 < utf16_length(forms(part).text) <= 4096 for part in parts)
    assert [bool(forms(part).keyboard) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert "来源" in parts[-1].text
    assert all(not forms(part).rich for part in parts), "a rich part has to have a fallback of one message"


RICH = [
    pytest.param("| 地区 | 运费 |\n|---|---|\n| 上海 | 8 元 |", True, id="table"),
    pytest.param("# 退货\n\n七天内。", True, id="heading"),
    pytest.param("七天内可以**退货**：\n\n- 未拆封\n- 有发票", False, id="list"),
]


@pytest.mark.parametrize(("text", "rich"), RICH)
def test_a_rich_message_is_used_only_where_it_shows_more(text: str, rich: bool) -> None:
    assert bool(only(replace(ANSWER, text=text)).rich) == rich


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_even_a_blank_reply_is_one_message(text: str) -> None:
    (part,) = render(replace(ANSWER, text=text))
    assert part.text


def test_a_snapshot_in_the_middle_of_a_mark_is_readable() -> None:
    source = "七天内可以**退货**，见[政策](https://a.example/x)。"
    shown = [found for end in range(1, len(source) + 1) if (found := snapshot(source[:end])) is not None]
    assert shown[-1].text == "七天内可以退货，见政策。"
    assert snapshot("  ") is None


def test_of_a_very_long_unfinished_answer_the_end_is_shown() -> None:
    found = snapshot("好。" * 5000 + "最后")
    assert found is not None
    assert utf16_length(found.text) <= 4096
    assert found.text.endswith("最后")


def test_rendering_is_pure() -> None:
    made = [render(replace(ANSWER, sources=SOURCES)) for _ in range(3)]
    assert all(one == other for one, other in pairwise(made))
