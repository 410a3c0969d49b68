"""Replies as Slack messages: what stands in them, and that Slack takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.rendering.safe_text import utf16_length
from adapters.slack.growing import settled
from adapters.slack.replies import BODY_LIMIT, Forms, blocks_of, render, sections_of, words_of
from bot.messages import Author, ConversationRef, Outcome, Reply, ReplyAction, Source, Ticket, TicketState
from tests.adapters.rendering.strategies import anything, document
from tests.fakes.slackapi.blocks import actions_of, check_message, flatten

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TICKET = Ticket(
    number="TICKET-7K2M9Q4D",
    subject="退货",
    state=TicketState.OPEN,
    requester="slack:U5",
    conversation=ConversationRef(platform="slack", account="", channel="D5", thread="1.1"),
    created_at=NOW,
    updated_at=NOW,
    due_at=NOW,
)
REPLY = Reply(outcome=Outcome.ANSWERED, text="七天内可以退货。", language="zh", turn_id="t1")


def forms_of(reply: Reply) -> list[Forms]:
    found = [part.payload for part in render(reply)]
    assert all(isinstance(forms, Forms) for forms in found)
    return found  # type: ignore[return-value]


def pressable(reply: Reply) -> dict[str, str]:
    (forms,) = forms_of(reply)
    return {button["action_id"]: button.get("value", "") for button in actions_of(blocks_of(forms))}


def test_feedback_and_what_may_be_asked_for() -> None:
    reply = replace(REPLY, actions=tuple(ReplyAction))
    assert pressable(reply) == {"kefu_act:ticket": "t1", "kefu_act:person": "t1", "kefu_feedback": ""}
    (forms,) = forms_of(reply)
    assert [block["type"] for block in blocks_of(forms)] == ["markdown", "actions", "context_actions"]
    (buttons,) = forms.extras[-1]["elements"]
    assert (buttons["positive_button"]["value"], buttons["negative_button"]["value"]) == ("up|t1", "down|t1")
    check_message(blocks_of(forms))


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("state", list(TicketState))
def test_a_ticket_has_a_card_with_buttons(state: TicketState, language: str) -> None:
    reply = replace(REPLY, ticket=replace(TICKET, state=state), language=language, actions=tuple(ReplyAction))  # type: ignore[arg-type]
    buttons = pressable(reply)
    assert buttons["kefu_ticket_details"] == TICKET.number
    assert ("kefu_act:solved" in buttons) == (state is not TicketState.CLOSED)
    assert buttons.get("kefu_act:solved", TICKET.number) == TICKET.number and buttons["kefu_act:person"] == "t1"
    (forms,) = forms_of(reply)
    assert TICKET.number in flatten(check_message(blocks_of(forms)))


def test_who_is_handed_over_to_a_person_is_not_offered_one() -> None:
    reply = replace(REPLY, ticket=TICKET, outcome=Outcome.HANDOFF, actions=())
    assert pressable(reply) == {"kefu_ticket_details": TICKET.number, "kefu_act:solved": TICKET.number}


def test_sources_stand_in_a_context_and_can_be_followed() -> None:
    sources = (
        Source(id="1", title="退货 <!channel>", url="https://e.com/?a=1&b=2|x"),
        Source(id="2", title="只有标题"),
        Source(id="3", title="危险", url="javascript:alert(1)"),
        Source(id="4", title="第四", url="https://e.com/4"),
        Source(id="1", title="退货 <!channel>", url="https://e.com/?a=1&b=2|x"),
    )
    (forms,) = forms_of(replace(REPLY, sources=sources))
    (context,) = forms.extras
    assert context["elements"] == [
        {
            "type": "mrkdwn",
            "text": "来源：<https://e.com/?a=1&amp;b=2%7Cx|退货 ＜!channel&gt;>、只有标题、危险",
        }
    ]


def test_absurd_sources_do_not_burst_a_message() -> None:
    sources = tuple(Source(id=str(n), title="&" * 500, url="https://e.com/" + "&" * 480 + str(n)) for n in range(5))
    for forms in forms_of(
        replace(REPLY, text="字" * 9_400, sources=sources, ticket=TICKET, actions=tuple(ReplyAction))
    ):
        blocks = json.loads(json.dumps(blocks_of(forms)))
        assert check_message(blocks) == blocks
        assert len(blocks) >= 1


def test_agents_are_named_and_notices_are_plain() -> None:
    (named,) = forms_of(replace(REPLY, author=Author.AGENT, agent="*小王* <@U1>"))
    assert named.markdown.startswith("👤 **客服 \\*小王\\* ＜@U1>**：") or "小王" in named.markdown
    assert "<@U1>" not in named.markdown
    (notice,) = forms_of(replace(REPLY, author=Author.NOTICE, ticket=TICKET, actions=tuple(ReplyAction)))
    assert not notice.extras


def test_an_empty_reply_is_a_message_all_the_same() -> None:
    (forms,) = forms_of(replace(REPLY, text="  "))
    assert forms.markdown == forms.plain == "…"


def test_messages_of_one_delivery_are_told_apart() -> None:
    found = forms_of(replace(REPLY, text="\n\n".join(f"第 {n} 段" * 200 for n in range(30))))
    assert [forms.number for forms in found] == list(range(len(found))) and len(found) > 2
    assert len({forms.digest for forms in found}) == len(found)
    assert [forms.digest for forms in found] == [
        forms.digest for forms in forms_of(replace(REPLY, text="\n\n".join(f"第 {n} 段" * 200 for n in range(30))))
    ]


@given(st.lists(anything, max_size=5).map("\n\n".join), st.sampled_from([1, 15]))
@settings(deadline=None, max_examples=25)
def test_slack_takes_whatever_a_model_writes(text: str, times: int) -> None:
    reply = replace(REPLY, text=text * times, ticket=TICKET, actions=tuple(ReplyAction))
    for forms in forms_of(reply):
        assert 0 < utf16_length(forms.markdown) <= BODY_LIMIT and forms.plain
        check_message(json.loads(json.dumps(blocks_of(forms))))
        check_message(json.loads(json.dumps(sections_of(forms))))
        assert words_of(forms) and len(forms.plain) <= 4_000


@given(st.lists(document, min_size=1, max_size=3).map("\n\n".join), st.data())
@settings(deadline=None, max_examples=25)
def test_what_a_stream_is_given_is_nearly_always_how_the_final_text_begins(text: str, data: st.DataObject) -> None:
    """Always a safe one, too: what is given in pieces never comes together as a mention."""
    (final, *_) = forms_of(replace(REPLY, text=text))
    sent = ""
    for length in sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12))):
        words = settled(text[:length])
        if words.startswith(sent):
            assert not words[len(sent) :][:1].isspace()
            sent = words
        assert "<!" not in words
    if not final.markdown.startswith(sent):
        # Written over at the end; the guesses below are the known ones.
        assert any(sign in text for sign in "|*_`~[#>-")


def test_plain_answers_stream_from_the_first_words_to_the_last() -> None:
    text = (
        "您好！**七天内**可以退货，见 [说明](https://e.com)。\n\n- 打开 `订单`\n- *提交*申请\n\nThat is all, a_b 5*3!"
    )
    (final,) = forms_of(replace(REPLY, text=text))
    sent, lag = "", 0
    for length in range(len(text) + 1):
        words = settled(text[:length])
        assert words.startswith(sent) or not words
        sent = words or sent
        assert final.markdown.startswith(sent)
        lag = max(lag, length - len(sent))
    assert lag < 40
