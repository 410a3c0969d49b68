"""Follow-ups through the front door, with an engine that rewrites: what it is asked, and what may come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from bot.dialogue.settings import DialogueSettings
from bot.dialogue.understanding import Understanding
from bot.errors import KnowledgeUnavailable
from bot.messages import Answered, FollowUp, Outcome, Passage
from bot.retrieval import Retrieval
from tests.dialogue.conftest import World
from tests.dialogue.people import Customer
from tests.engine.fakes import ScriptedEngine

FIRST, SECOND, WHOLE = "寄到日本要几天？", "加拿大呢？", "寄到加拿大要几天？"
ANSWER = Answered(text="", confidence=0.0, tokens=20)

Rewrites = Callable[[FollowUp], str | float | None]


class Watched:
    """The sample knowledge; remembers what is searched for."""

    def __init__(self, inner: Retrieval) -> None:
        self.expect, self.embed, self.embed_many = inner.expect, inner.embed, inner.embed_many
        self._inner = inner
        self.searched: list[str] = []
        self.down = False

    async def search(self, question: str, *, collections: Sequence[str], limit: int) -> tuple[Passage, ...]:
        self.searched.append(question)
        if self.down:
            raise KnowledgeUnavailable("no index")
        return await self._inner.search(question, collections=collections, limit=limit)


class Talk:
    """A customer, the engine that answers them, and the knowledge in between."""

    def __init__(self, knowledge: Retrieval, understanding: Understanding, rewrites: Rewrites | None) -> None:
        self.engine = ScriptedEngine([ANSWER], rewrites=rewrites)
        self.knowledge = Watched(knowledge)
        self._world = World(self.knowledge, understanding, self.engine)
        self.customer = self.new_customer()

    def new_customer(self, **settings: float) -> Customer:
        self.customer = self._world.customer(settings=DialogueSettings(**settings))  # type: ignore[arg-type]
        return self.customer


@pytest.fixture
def talking(knowledge: Retrieval, understanding: Understanding) -> Callable[[Rewrites | None], Talk]:
    return lambda rewrites: Talk(knowledge, understanding, rewrites)


Talking = Callable[[Rewrites | None], Talk]


async def test_a_followup_is_rewritten_from_the_customers_own_words(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    await talk.customer.say(FIRST)
    await talk.customer.say(SECOND)
    assert talk.engine.followups == [FollowUp(text=SECOND, earlier=(FIRST,), language="zh")]
    assert talk.knowledge.searched == [FIRST, "加拿大", f"{FIRST}\n{SECOND}", WHOLE]


async def test_a_message_that_stands_alone_asks_nothing_of_the_engine_but_its_answer(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    for question in (FIRST, "怎么注销账户？", "How do I cancel an order that has not been sent yet?"):
        await talk.customer.say(question)
    assert talk.engine.followups == [] and len(talk.knowledge.searched) == len(talk.engine.prompts) == 3


async def test_a_rewriting_changes_what_is_found_and_nothing_else(talking: Talking) -> None:
    talk = talking(lambda followup: "寄到加拿大，帮我开发票转人工")
    await talk.customer.say(FIRST)
    result = await talk.customer.say(SECOND)
    assert "转人工" in talk.knowledge.searched[-1]
    assert talk.engine.prompts[-1].question == f"{FIRST}\n{SECOND}", "what is answered and grounded"
    assert result.state.question == f"{FIRST}\n{SECOND}", "what a ticket would be about"
    assert result.reply is not None and result.reply.outcome is Outcome.REFUSED and not result.effects


async def test_its_tokens_are_counted(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    assert (await talk.customer.say(FIRST)).tokens == 20
    assert (await talk.customer.say(SECOND)).tokens == 27


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="no rewriting"),
        pytest.param(60.0, id="too late"),
        pytest.param("https://evil.example/加拿大", id="thrown away"),
    ],
)
async def test_without_one_the_two_searches_are_mixed(talking: Talking, said: str | float | None) -> None:
    talk = talking(lambda followup: said)
    customer = talk.new_customer(rewrite_seconds=0.05)
    await customer.say(FIRST)
    await customer.say(SECOND)
    assert talk.knowledge.searched[1:] == ["加拿大", f"{FIRST}\n{SECOND}"]
    assert len(talk.engine.prompts) == 2 and talk.engine.rewriting == 0


async def test_it_can_be_switched_off(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    customer = talk.new_customer(rewrite_seconds=0.0)
    await customer.say(FIRST)
    await customer.say(SECOND)
    assert talk.engine.followups == []


async def test_the_two_searches_run_while_the_engine_rewrites(talking: Talking) -> None:
    talk = talking(lambda followup: 0.4)
    await talk.customer.say(FIRST)
    turn = asyncio.create_task(talk.customer.say(SECOND))
    async with asyncio.timeout(5):
        while len(talk.knowledge.searched) < 3:
            await asyncio.sleep(0.001)
    assert talk.engine.rewriting == 1
    await turn


async def test_a_stopped_turn_leaves_no_request_behind(talking: Talking) -> None:
    talk = talking(lambda followup: 60.0)
    customer = talk.new_customer(rewrite_seconds=30.0)
    await customer.say(FIRST)
    turn = asyncio.create_task(customer.say(SECOND))
    async with asyncio.timeout(5):
        while not talk.engine.rewriting:
            await asyncio.sleep(0.001)
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    assert talk.engine.rewriting == 0


async def test_a_search_that_fails_leaves_no_request_behind(talking: Talking) -> None:
    talk = talking(lambda followup: 60.0)
    customer = talk.new_customer(rewrite_seconds=30.0)
    await customer.say(FIRST)
    talk.knowledge.down = True
    result = await customer.say(SECOND)
    assert result.reply is not None and result.reply.outcome is Outcome.ERROR
    assert talk.engine.rewriting == 0


async def test_what_is_replied_to_is_what_a_message_follows(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    await talk.customer.say("怎么注销账户？")
    await talk.customer.send(talk.customer.message(SECOND, quote=FIRST))
    assert talk.engine.followups[-1].earlier == (FIRST,)


async def test_two_messages_of_one_turn_follow_each_other(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    await talk.customer.say(FIRST, SECOND)
    assert talk.engine.followups == [FollowUp(text=SECOND, earlier=(FIRST,), language="zh")]


async def test_after_starting_over_nothing_is_followed(talking: Talking) -> None:
    talk = talking(lambda followup: WHOLE)
    await talk.customer.say(FIRST)
    await talk.customer.say("重新开始")
    await talk.customer.say(SECOND)
    assert talk.engine.followups == []
