"""Replies as messages: bytes, cards, names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.wecom.bot.replies import BODY_LIMIT, Forms, addressed, card_done, card_of, render, snapshot
from bot.messages import (
    Author,
    ConversationRef,
    Outcome,
    Reply,
    ReplyAction,
    Source,
    Ticket,
    TicketState,
)
from tests.fakes.aibot import cards

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
GROUP = ConversationRef(platform="wecom_bot", account="aib1", channel="wrG", thread="lisi")
TICKET = Ticket(
    number="TICKET-7K2M9Q4D",
    subject="打印机",
    state=TicketState.OPEN,
    requester="wecom_bot:lisi",
    conversation=GROUP,
    created_at=AT,
    updated_at=AT,
    due_at=AT,
)


def forms(reply: Reply, *, card_apart: bool = True) -> list[Forms]:
    found = []
    for part in render(reply, card_apart=card_apart):
        assert isinstance(part.payload, Forms)
        found.append(part.payload)
    return found


def test_markdown_goes_through_and_tags_do_not() -> None:
    reply = Reply(
        outcome=Outcome.ANSWERED, text="**好** <@all> <@lisi>\n\n| a | b |\n|---|---|\n| 1 | 2 |", language="zh"
    )
    [only] = forms(reply)
    assert "**好**" in only.markdown
    assert "| 1 | 2 |" in only.markdown
    assert "<@" not in only.markdown


@pytest.mark.parametrize("text", ["汉" * 30_000, "😀" * 12_000, "x" * 50_000, "一句话。" * 9000])
def test_no_part_has_more_bytes_than_wecom_takes(text: str) -> None:
    found = forms(Reply(outcome=Outcome.ANSWERED, text=text, language="zh"))
    assert len(found) > 1
    assert all(len(addressed(GROUP, one.markdown).encode()) <= 20_480 for one in found)
    assert "".join(one.markdown for one in found) == text
    assert [one.number for one in found] == list(range(len(found)))
    assert len(snapshot(text).encode()) <= BODY_LIMIT


def test_a_tickets_card_is_a_message_of_its_own_or_hangs_on_the_last_words() -> None:
    reply = Reply(outcome=Outcome.TICKET, text="已登记", language="zh", ticket=TICKET, turn_id="t1")
    words, card = forms(reply)
    assert (words.card, card.card, card.markdown) == (False, True, "")
    [both] = forms(reply, card_apart=False)
    assert both.card
    assert "同事会直接在这里答复您" in both.markdown
    made = card_of(reply, 7)
    assert made == card_of(reply, 7) != card_of(reply, 8)
    cards.judged(dict(made or {}))


def test_the_card_after_a_press_is_one_that_wecom_takes() -> None:
    for number in ("TICKET-7K2M9Q4D", ""):
        card = cards.judged(dict(card_done("kefu-1", number)))
        assert card["task_id"] == "kefu-1"
        assert number in card["main_title"]["title"]


def test_offers_are_buttons_too() -> None:
    reply = Reply(
        outcome=Outcome.REFUSED, text="没有查到", language="zh", turn_id="t1", actions=(ReplyAction.TALK_TO_PERSON,)
    )
    assert [one.card for one in forms(reply)] == [False, True]


def test_sources_agents_and_notices() -> None:
    sources = (Source(id="1", title="退货 <@all>", url="https://x.example/a_(b)"), Source(id="2", title="*规则*"))
    [answer] = forms(Reply(outcome=Outcome.ANSWERED, text="可以", language="zh", sources=sources))
    assert "来源：" in answer.markdown
    assert "https://x.example/a_%28b%29" in answer.markdown
    assert "<@" not in answer.markdown
    [agent] = forms(Reply(outcome=Outcome.CHAT, text="好了", language="zh", author=Author.AGENT, agent="小 *王*"))
    assert agent.markdown.startswith("👤 **客服 小")
    notice = Reply(outcome=Outcome.TICKET, text="新工单", language="zh", author=Author.NOTICE, ticket=TICKET)
    assert [(one.markdown, one.card) for one in forms(notice)] == [("新工单", False)]


def test_only_in_groups_somebody_is_named() -> None:
    alone = ConversationRef(platform="wecom_bot", account="aib1", channel="lisi")
    assert addressed(alone, "好") == "好"
    assert addressed(GROUP, "好") == "<@lisi> 好"
    assert addressed(GROUP, "") == ""
