from dataclasses import replace

import pytest

from adapters.terminal import view
from bot.messages import Author, Outcome, Reply, Source
from tests.server.house import ticket

REPLY = Reply(
    outcome=Outcome.ANSWERED,
    text="请在 **7 天**内申请退货。",
    language="zh",
    confidence=0.91234567,
    sources=(Source(id="faq#1", title="退货", url="https://a.example/1", score=0.5),),
)


def test_programs_get_the_object_of_the_contract() -> None:
    assert view.reply_json(replace(REPLY, ticket=ticket()), id="q1", latency_ms=12.3456) == {
        "id": "q1",
        "response": "请在 **7 天**内申请退货。",
        "confidence": 0.9123,
        "outcome": "answered",
        "sources": [{"id": "faq#1", "title": "退货", "url": "https://a.example/1", "score": 0.5}],
        "ticket": "TICKET-7K2M9Q4D",
        "latency_ms": 12.3,
    }
    assert view.reply_json(REPLY, id=1, latency_ms=0)["ticket"] is None


def test_people_get_words_sources_and_ticket() -> None:
    assert view.whole(replace(REPLY, ticket=ticket())) == (
        "请在 7 天内申请退货。\n工单: TICKET-7K2M9Q4D\n来源:\n  [1] 退货  https://a.example/1"
    )
    agent = replace(REPLY, author=Author.AGENT, agent="李雷", sources=())
    assert view.whole(agent) == "[李雷] 请在 7 天内申请退货。"
    named = replace(REPLY, text="已为您建立工单 TICKET-7K2M9Q4D。", ticket=ticket(), sources=())
    assert view.whole(named).count("TICKET-7K2M9Q4D") == 1


def test_nothing_that_is_said_can_drive_the_terminal() -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\r危险"
    shown = view.whole(
        replace(REPLY, text=evil, author=Author.AGENT, agent=evil, sources=(Source(id=evil, title=evil, url=evil),))
    )
    assert not any((ord(sign) < 32 and sign != "\n") or 127 <= ord(sign) < 160 for sign in shown)


@pytest.mark.parametrize(
    "text, columns, rows",
    [("", 80, 1), ("a" * 80, 80, 1), ("a" * 81, 80, 2), ("好" * 41, 80, 2), ("a\nb\n", 80, 3), ("abc", 0, 3)],
)
def test_rows_on_the_screen(text: str, columns: int, rows: int) -> None:
    assert view.rows(text, columns) == rows
