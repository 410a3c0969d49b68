"""Whatever people send, the dialogue answers, in one piece and within its limits."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.engine.extractive import ExtractiveEngine
from bot.messages import DialogueState, IncomingMessage, MessageKind, OpenTicket, Outcome, PendingCall
from tests.dialogue.little import customer_of, little_understanding
from tests.dialogue.people import NOW, Customer

SCRAPS = [
    *(
        "怎么退货",
        "好的",
        "不用了",
        "转人工",
        "TICKET-7K0001",
        "/ticket ",
        "/reset",
        "重新开始",
        "谢谢",
        "？",
        "and to Canada?",
    ),
    *("\n", "{number}", "%s", "<b>", "```", "| a |", "1.", "https://x.example", "13800138000"),
]
WORDS = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.characters(codec=None, categories=("Cs", "Cc", "Cf", "Co", "Lo", "Zs")), max_size=40),
    st.lists(
        st.sampled_from(SCRAPS),
        max_size=6,
    ).map("".join),
    st.sampled_from(["怎么退货", "退"]).map(lambda word: word * 900),
)
KINDS = st.sampled_from([MessageKind.TEXT, MessageKind.COMMAND, MessageKind.ACTION, MessageKind.EDIT, MessageKind.STOP])
STATES = st.builds(
    DialogueState,
    language=st.sampled_from([None, "zh", "en"]),
    offered=st.sampled_from(["", "ticket"]),
    question=st.text(max_size=60),
    held_by=st.sampled_from(["", "", "", "TICKET-9"]),
    held_noted=st.booleans(),
    pending=st.one_of(
        st.none(),
        st.builds(
            PendingCall,
            key=st.just("turn-0-0"),
            function=st.just("no_longer_there"),
            arguments=st.just("{}"),
            action=st.text(min_size=1, max_size=60),
            at=st.just(NOW),
        ),
    ),
)


@st.composite
def sent(draw: st.DrawFn, customer: Customer) -> IncomingMessage:
    kind = draw(KINDS)
    command = draw(st.sampled_from(["ticket", "help", "reset", "person", "start", "x" * 50, ""]))
    return customer.message(
        draw(WORDS),
        kind=kind,
        command=command if kind in (MessageKind.COMMAND, MessageKind.ACTION) else "",
        quote=draw(st.one_of(st.just(""), WORDS)),
        attachments=tuple(draw(st.lists(st.sampled_from(["photo", "voice", "odd"]), max_size=2))),
    )


def customer() -> Customer:
    engine = ExtractiveEngine()
    asyncio.run(engine.start())
    return customer_of(engine, asyncio.run(little_understanding()))


ANN = customer()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(sent(ANN), min_size=1, max_size=4), STATES, st.booleans())
def test_every_turn_ends_in_words_or_in_an_agents_hands(
    messages: list[IncomingMessage], state: DialogueState, late: bool
) -> None:
    snapshots: list[str] = []
    turn = ANN.turn(*messages, late=late)
    turn = type(turn)(
        id=turn.id,
        conversation=turn.conversation,
        sender=turn.sender,
        messages=turn.messages,
        state=state,
        started_at=turn.started_at,
        late=late,
    )
    result = asyncio.run(ANN.dialogue.respond(turn, snapshots.append))
    if result.reply is None:
        assert state.held_by and result.state.held_by == state.held_by
    else:
        reply = result.reply
        assert reply.text.strip() and reply.turn_id == turn.id
        assert 0.0 <= reply.confidence <= 1.0
        assert reply.outcome is not Outcome.ERROR or (state.pending and result.state.offered)
        assert len(reply.text) <= 150 * len(messages) + 700
        reply.text.encode("utf-8")
    opened = [effect for effect in result.effects if isinstance(effect, OpenTicket)]
    assert len(opened) <= 1 and len(result.functions) <= 1
    assert all(ticket.ticket.requester == turn.sender.id for ticket in opened)
    assert all(snapshot.strip() for snapshot in snapshots)
    assert len(result.state.question) <= 5000
    assert result.state.pending is None or result.state.pending == state.pending
