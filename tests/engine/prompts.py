"""Prompts as the dialogue makes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.messages import BotSaid, CustomerSaid, FunctionSpec, Outcome, Passage, Prompt

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)

STATUS = FunctionSpec(
    name="ticket_status",
    description="查询工单进度",
    parameters={
        "type": "object",
        "properties": {"ticket": {"type": "string", "description": "工单编号"}},
        "required": ["ticket"],
        "additionalProperties": False,
    },
)

QUESTION = "南极洲的运费是多少"
"""Unlike anything else, so that a log line that holds it gives itself away."""
PERSONA = "你是蓝鲸商店的客服助手。"

PROMPT = Prompt(
    language="zh",
    persona=PERSONA,
    functions=(STATUS,),
    history=(
        CustomerSaid(text="你们周末发货吗", at=AT),
        BotSaid(text="周末照常发货。", at=AT, outcome=Outcome.ANSWERED),
    ),
    passages=(
        Passage(
            id="faq#1",
            document="faq#1",
            collection="default",
            title="运费",
            text="全国运费 8 元，满 99 元包邮。",
            chance=0.9,
        ),
    ),
    question=QUESTION,
    max_answer_chars=150,
)


def prompt(**changes: Any) -> Prompt:
    return replace(PROMPT, **changes)
