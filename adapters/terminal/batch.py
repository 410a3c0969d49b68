"""A file of questions, answered side by side and printed in the order of the file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.terminal import view
from adapters.terminal.channel import nobody
from bot.errors import KefuError
from bot.messages import Outcome, Reply

CONCURRENCY = 16
"""Questions asked side by side, unless the caller says otherwise."""
AHEAD = 256
"""Lines that may be read before the oldest of them is answered: bounds memory, not speed."""


class Ask(Protocol):
    """`TerminalChannel.ask`."""

    def __call__(self, text: str, user: str, collections: Sequence[str]) -> Awaitable[Reply]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One good line."""

    id: str | int
    text: str
    user: str | None = None
    """None for a conversation of its own."""
    collections: tuple[str, ...] = ("default",)


class BadLine(ValueError):
    """A line that is no question; the text says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one line."""

    line: int
    """Counted from 1."""
    answer: dict[str, Any] | None = None
    """The contract's object, None when there is none."""
    problem: str = ""
    """Why the line was not answered as it should have been, "" when it was."""


def parse(raw: bytes) -> Question:
    """A line of the file.

    :raises BadLine: it is no question.
    """
    try:
        data = json.loads(raw)
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are both one
        raise BadLine("is not JSON in UTF-8") from None
    except RecursionError:
        raise BadLine("is nested too deeply") from None
    if not isinstance(data, dict):
        raise BadLine("is not a JSON object")
    if unknown := sorted(set(data) - {"id", "text", "user", "collections"}):
        raise BadLine(f"has a field that is not known: {unknown[0][:40]!a}")
    question_id, text, user = data.get("id"), data.get("text"), data.get("user")
    if isinstance(question_id, bool) or not isinstance(question_id, str | int):
        raise BadLine('"id" must be a text or a whole number')
    if not isinstance(text, str) or not text.strip():
        raise BadLine('"text" must be a text that is not empty')
    if user is not None and (not isinstance(user, str) or not user.strip()):
        raise BadLine('"user" must be a text that is not empty')
    names = data.get("collections", ["default"])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise BadLine('"collections" must be a list of names')
    return Question(id=question_id, text=text, user=user, collections=tuple(names))


async def answer_lines(
    lines: Iterable[bytes], ask: Ask, emit: Callable[[Result], None], *, at_once: int = CONCURRENCY
) -> None:
    """Asks every line and calls `emit` with each result, in the order of the lines.

    Lines of one user are asked one after the other, because the later may follow up on the earlier; all others side
    by side, at most `at_once` at once. `lines` is read in a thread: it may be a pipe whose writer takes its time.
    """
    running: asyncio.Queue[asyncio.Task[Result] | None] = asyncio.Queue(AHEAD)
    lanes = _Lanes(at_once)
    source = enumerate(lines, start=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(_emit_in_order(running, emit))
        while (numbered := await asyncio.to_thread(next, source, None)) is not None:
            number, raw = numbered
            if raw.strip():
                await running.put(group.create_task(_answer(number, raw, ask, lanes)))
        await running.put(None)


async def _emit_in_order(running: asyncio.Queue[asyncio.Task[Result] | None], emit: Callable[[Result], None]) -> None:
    while (task := await running.get()) is not None:
        emit(await task)


class _Lanes:
    """Who may ask now: so many at once, a user's questions in order."""

    def __init__(self, at_once: int) -> None:
        self._users: dict[str, asyncio.Lock] = {}
        self._gate = asyncio.Semaphore(at_once)

    @contextlib.asynccontextmanager
    async def turn(self, user: str | None) -> AsyncIterator[None]:
        # The user's lock first: it is fair, and a place in the gate is not spent on waiting for somebody's own line.
        own = self._users.setdefault(user, asyncio.Lock()) if user is not None else contextlib.nullcontext()
        async with own, self._gate:
            yield


async def _answer(number: int, raw: bytes, ask: Ask, lanes: _Lanes) -> Result:
    try:
        question = parse(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
    except BadLine as bad:
        return Result(line=number, problem=str(bad))
    async with lanes.turn(question.user):
        started = time.perf_counter()
        try:
            reply = await ask(question.text, question.user or nobody(), question.collections)
        except KefuError as error:
            return Result(line=number, problem=str(error))
        took = (time.perf_counter() - started) * 1000
    answer = view.reply_json(reply, id=question.id, latency_ms=took)
    problem = "the answer is an apology for an error" if reply.outcome is Outcome.ERROR else ""
    return Result(line=number, answer=answer, problem=problem)
