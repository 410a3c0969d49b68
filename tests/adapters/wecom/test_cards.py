"""Template cards: what WeCom takes, what a reader sees, and what a press means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wecom import cards
from bot.messages import ConversationRef, Language, Outcome, Reply, ReplyAction, Ticket, TicketState
from tests.fakes.wecomapi import cards as judged

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ticket(state: TicketState = TicketState.OPEN, subject: str = "退款 <@all>\n一直没到") -> Ticket:
    return Ticket(
        number="TICKET-7K2M9Q4D",
        subject=subject,
        state=state,
        requester="wecom_app:lisi",
        conversation=ConversationRef(platform="wecom_app", account="ww/1", channel="lisi"),
        created_at=AT,
        updated_at=AT,
        due_at=AT + timedelta(hours=24),
    )


def keys(card: cards.Card) -> list[str]:
    return [button["key"] for button in card["button_list"]]


def reply(language: Language = "zh", outcome: Outcome = Outcome.TICKET, **changes: object) -> Reply:
    values = {"ticket": ticket(), "turn_id": "t-1", **changes}
    return Reply(outcome=outcome, text="好的", language=language, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("state", list(TicketState))
def test_a_tickets_card_is_one_that_wecom_takes(language: Language, state: TicketState) -> None:
    card = cards.ticket_card(reply(language, ticket=ticket(state)), task_id=cards.task_id("1"))
    if state is TicketState.CLOSED:
        assert card is None
        return
    assert card is not None
    assert judged.judge(card) == card
    assert "TICKET-7K2M9Q4D" in judged.words(dict(card))
    assert "<@all>" not in str(card)
    assert keys(card) == ["kefu_act:solved|TICKET-7K2M9Q4D", "kefu_act:person|t-1"]
    assert all(len(button["text"]) <= 10 for button in card["button_list"])


def test_who_was_handed_over_is_not_offered_it_again() -> None:
    card = cards.ticket_card(reply(outcome=Outcome.HANDOFF), task_id="t")
    assert card is not None
    assert keys(card) == ["kefu_act:solved|TICKET-7K2M9Q4D"]


def test_an_offer_can_be_pressed() -> None:
    offered = reply(outcome=Outcome.REFUSED, ticket=None, actions=(ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON))
    card = cards.card_for(offered, task_id="t")
    assert card is not None
    assert judged.judge(card) == card
    assert keys(card) == ["kefu_act:person|t-1", "kefu_act:ticket|t-1"]
    assert cards.card_for(reply(ticket=None, actions=(ReplyAction.FEEDBACK,)), task_id="t") is None


def test_a_press_is_read_and_anybody_elses_is_not() -> None:
    assert cards.pressed("kefu_act:solved|TICKET-7K2M9Q4D") == ("solved", "TICKET-7K2M9Q4D")
    assert cards.pressed("kefu_act:person|t-1") == ("person", "")
    assert cards.pressed("kefu_act:ticket|t-1") == ("ticket", "")
    for other in ("", "kefu_act:", "kefu_act:close|1", "solved|1", "kefu_act:solved", "kefu_act:solved|好", "x" * 999):
        assert cards.pressed(other) is None


@given(st.lists(st.text(max_size=20), max_size=4))
def test_a_cards_name_is_one_that_wecom_takes_and_the_same_for_the_same(names: list[str]) -> None:
    made = cards.task_id(*names)
    assert cards.is_task_id(made)
    assert made == cards.task_id(*names)
    assert made != cards.task_id(*names, "more")


@given(st.text(max_size=300))
def test_any_subject_fits(subject: str) -> None:
    card = cards.ticket_card(reply(ticket=ticket(subject=subject)), task_id="t")
    assert card is not None
    assert len(card.get("sub_title_text", "")) <= 112
    assert "<" not in str(card)
