from __future__ import annotations

import re
from datetime import timedelta
from string import Formatter

import pytest

from bot.dialogue.phrases import Phrase, Phrases
from bot.messages import TicketState
from tests.dialogue.people import NOW

HAN = re.compile("[\u4e00-\u9fff]")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("phrase", list(Phrase), ids=lambda phrase: phrase.name)
def test_every_phrase_is_there_in_both_languages_with_the_same_fields(phrase: Phrase) -> None:
    chinese, english = phrase.value
    assert fields(chinese) == fields(english)
    assert HAN.search(chinese)
    assert not HAN.search(english) and re.search("[a-z]", english)


def test_no_two_phrases_are_the_same() -> None:
    # Equal values would make one name of an enumeration an alias of the other.
    assert len(list(Phrase)) == len(Phrase.__members__)


def test_the_refusal_is_worded_as_promised_unless_the_operator_words_it() -> None:
    assert Phrases().say(Phrase.REFUSAL, "zh").startswith("抱歉，我暂时无法查询到该问题")
    assert Phrases().say(Phrase.REFUSAL, "en") == "Sorry, I could not find that."
    assert Phrases(refusal="请致电 400。").say(Phrase.REFUSAL, "en") == "请致电 400。"


def test_fields_are_data() -> None:
    assert "{number}" in Phrases().say(Phrase.TICKET_UNKNOWN, "zh", number="{number}")


@pytest.mark.parametrize(
    ("span", "chinese", "english"),
    [
        (timedelta(seconds=5), "几分钟内", "within a few minutes"),
        (timedelta(minutes=45), "45 分钟内", "within 45 minutes"),
        (timedelta(minutes=60), "1 小时内", "within an hour"),
        (timedelta(minutes=61), "2 小时内", "within 2 hours"),
        (timedelta(hours=24), "24 小时内", "within 24 hours"),
        (timedelta(days=3), "3 天内", "within 3 days"),
    ],
)
def test_spans_are_told_in_words_and_rounded_up(span: timedelta, chinese: str, english: str) -> None:
    assert Phrases().within(span, "zh") == chinese
    assert Phrases().within(span, "en") == english


@pytest.mark.parametrize("state", list(TicketState))
def test_every_state_of_a_ticket_has_words(state: TicketState) -> None:
    for language in ("zh", "en"):
        text = Phrases().status(
            state, language, number="TICKET-1", subject="杯子碎了", due_at=NOW + timedelta(hours=3), now=NOW
        )
        assert "TICKET-1" in text and "杯子碎了" in text


def test_a_ticket_past_its_time_is_not_promised_again() -> None:
    late = Phrases().status(TicketState.OPEN, "zh", number="T", subject="s", due_at=NOW, now=NOW + timedelta(hours=1))
    assert "非常抱歉" in late and "小时内" not in late


def test_attachments_are_named_in_words() -> None:
    assert Phrases().attachments(("photo", "photo", "voice"), "zh") == "图片和语音"
    assert Phrases().attachments(("photo", "voice", "x"), "en") == "picture, voice message and file"
    assert Phrases().attachments((), "en") == ""
