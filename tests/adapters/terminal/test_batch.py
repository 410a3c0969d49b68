import asyncio
import json
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.terminal import batch
from adapters.terminal.batch import Result, answer_lines
from adapters.terminal.channel import NoAnswer
from bot.messages import Outcome, Reply


class Answerer:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.open = 0
        self.most_open = 0
        self.open_users: set[str] = set()

    async def __call__(self, text: str, user: str, collections: Sequence[str]) -> Reply:
        assert user not in self.open_users, "two questions of one user at once would become one turn"
        self.asked.append((text, user, tuple(collections)))
        self.open_users.add(user)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(random.Random(text).random() / 100)
        self.open -= 1
        self.open_users.discard(user)
        if text == "nothing":
            raise NoAnswer("no answer within 150 seconds")
        outcome = Outcome.ERROR if text == "error" else Outcome.ANSWERED
        return Reply(outcome=outcome, text=text, language="en")


async def answered(
    lines: Sequence[bytes], answerer: Answerer | None = None, *, at_once: int = batch.CONCURRENCY
) -> list[Result]:
    results: list[Result] = []
    await answer_lines(lines, answerer or Answerer(), results.append, at_once=at_once)
    return results


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


async def test_answers_come_in_the_order_of_the_file_and_side_by_side() -> None:
    answerer = Answerer()
    results = await answered([line(id=n, text=str(n)) for n in range(100)], answerer)
    assert [result.answer["id"] for result in results if result.answer] == list(range(100))
    assert answerer.most_open == batch.CONCURRENCY
    assert len({user for _, user, _ in answerer.asked}) == 100


async def test_whoever_asks_says_how_many_at_once() -> None:
    answerer = Answerer()
    await answered([line(id=n, text=str(n)) for n in range(20)], answerer, at_once=3)
    assert answerer.most_open == 3


async def test_a_users_lines_are_asked_in_order() -> None:
    answerer = Answerer()
    lines = [line(id=n, text=str(n), user=f"u{n % 2}") for n in range(40)]
    await answered(lines, answerer)
    for user in ("u0", "u1"):
        asked = [int(text) for text, who, _ in answerer.asked if who == user]
        assert asked == sorted(asked) and len(asked) == 20


async def test_collections_reach_the_question() -> None:
    answerer = Answerer()
    await answered([line(id=1, text="a", collections=["internal"]), line(id=2, text="b")], answerer)
    assert [collections for _, _, collections in answerer.asked] == [("internal",), ("default",)]


BAD = {
    "no JSON": b"hello\n",
    "not UTF-8": b'{"id": 1, "text": "\xff"}\n',
    "no object": b"[1]\n",
    "no id": b'{"text": "a"}\n',
    "id true": b'{"id": true, "text": "a"}\n',
    "no text": b'{"id": 1}\n',
    "blank text": b'{"id": 1, "text": "  "}\n',
    "text a number": b'{"id": 1, "text": 5}\n',
    "user a number": b'{"id": 1, "text": "a", "user": 5}\n',
    "collections a text": b'{"id": 1, "text": "a", "collections": "x"}\n',
    "no collections": b'{"id": 1, "text": "a", "collections": []}\n',
    "unknown field": b'{"id": 1, "text": "a", "usr": "x"}\n',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_line_is_named_and_the_rest_goes_on(bad: bytes) -> None:
    results = await answered([line(id="a", text="a"), b"\n", bad, line(id="b", text="b")])
    assert [result.line for result in results] == [1, 3, 4]
    assert [result.answer["id"] for result in results if result.answer] == ["a", "b"]
    assert results[1].problem and results[1].answer is None


async def test_a_question_without_an_answer_is_a_problem_of_its_line() -> None:
    results = await answered([line(id=1, text="nothing"), line(id=2, text="error"), line(id=3, text="fine")])
    assert [bool(result.problem) for result in results] == [True, True, False]
    assert results[1].answer is not None


async def test_a_byte_order_mark_is_no_bad_line() -> None:
    (result,) = await answered([b"\xef\xbb\xbf" + line(id=1, text="a")])
    assert result.answer is not None


async def test_answers_do_not_wait_for_the_next_line_of_a_pipe() -> None:
    reading, writing = os.pipe()
    results: asyncio.Queue[Result] = asyncio.Queue()
    with open(reading, "rb") as lines, open(writing, "wb", buffering=0) as pipe:
        work = asyncio.create_task(answer_lines(lines, Answerer(), results.put_nowait))
        for number in range(3):
            pipe.write(line(id=number, text="a"))
            result = await asyncio.wait_for(results.get(), 5)
            assert result.line == number + 1
        pipe.close()
        await asyncio.wait_for(work, 5)
