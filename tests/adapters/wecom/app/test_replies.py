"""Replies as messages of an app."""

from __future__ import annotations

import pytest

from adapters.wecom.app.replies import Forms, render, words_only
from bot.messages import Author, Outcome, Reply, ReplyAction, Source
from tests.adapters.rendering.test_wecom import LONG
from tests.adapters.wecom.test_cards import ticket


def reply(text: str, **changes: object) -> Reply:
    return Reply(outcome=Outcome.ANSWERED, text=text, language="zh", **changes)  # type: ignore[arg-type]


def forms(made: Reply) -> list[Forms]:
    found = [part.payload for part in render(made)]
    assert all(isinstance(form, Forms) for form in found)
    return found  # type: ignore[return-value]


def test_plain_words_are_a_text_and_styled_ones_markdown() -> None:
    assert [(form.kind, form.content) for form in forms(reply("七天内可以退货。"))] == [("text", "七天内可以退货。")]
    [form] = forms(reply("**七天**内可以退货。"))
    assert (form.kind, form.content, form.plain) == ("markdown", "**七天**内可以退货。", "七天内可以退货。")


def test_a_long_answer_with_a_table_keeps_within_every_message() -> None:
    found = forms(reply(LONG))
    assert len(found) > 3
    assert {form.kind for form in found} == {"markdown"}
    assert all(0 < len(text.encode()) <= 2048 for form in found for text in (form.content, form.plain))


def test_sources_and_whoever_speaks_stand_around_the_words() -> None:
    sources = (Source(id="1", title="退货<规则>", url="https://x.example/1?a=b"), Source(id="2", title="手册"))
    [form] = forms(reply("可以。", sources=sources, author=Author.AGENT, agent=" 王\n芳 "))
    assert form.content == ("👤 **客服 王 芳：**\n\n可以。\n\n来源：[退货<规则>](https://x.example/1?a=b)、手册")


def test_a_ticket_comes_as_a_card_after_the_words() -> None:
    words, card = forms(reply("已登记 TICKET-7K2M9Q4D。", ticket=ticket(), turn_id="t-1"))
    assert (words.kind, card.kind) == ("text", "card")
    assert "TICKET-7K2M9Q4D" in card.plain


def test_what_is_offered_can_be_pressed_and_said() -> None:
    offered = reply("抱歉，我暂时无法查询到该问题。", actions=(ReplyAction.TALK_TO_PERSON,), turn_id="t-1")
    _, card = forms(offered)
    assert card.kind == "card"
    assert "转人工" in card.plain


def test_a_notice_is_words_alone() -> None:
    [form] = forms(reply("新工单 TICKET-1", ticket=ticket(), author=Author.NOTICE))
    assert (form.kind, form.content) == ("text", "新工单 TICKET-1")


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_nothing_is_still_a_message(text: str) -> None:
    assert [form.content for form in forms(reply(text))] == ["…"]
    assert words_only(text).content == "…"


def test_an_open_fence_does_not_swallow_what_follows() -> None:
    [form] = forms(reply("```\ncode", sources=(Source(id="1", title="手册", url="https://x.example"),)))
    assert "[手册](https://x.example)" in form.content
