"""Asking many questions for a measurement: of a search alone, or of the whole core, with nothing of it kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the core is imported when something is asked, not for `--help`
    from adapters.terminal.batch import Result
    from bot.dialogue.labelled import LabelledQuestion
    from bot.settings import Settings

AT_ONCE = 8
"""Questions asked side by side: enough for a model to batch, few enough that each has its answer in time on a small
machine."""
_HITS = 50
"""Passages searched for a question: among them are ten documents, unless each is cut into many."""


async def find_places(settings: Settings, questions: Sequence[LabelledQuestion]) -> list[tuple[int, ...] | None]:
    """Where a search alone finds the right documents of each question, from 1; None for one that names none.

    :raises KnowledgeError: it can not be searched, or a question's collection is not there.
    """
    from bot.answering import knowledge_config
    from knowledge.errors import KnowledgeError
    from knowledge.evaluation import right_places
    from knowledge.service import open_knowledge

    places: list[tuple[int, ...] | None] = []
    async with open_knowledge(knowledge_config(settings)) as knowledge:
        await knowledge.ensure_samples()
        there = {summary.name for summary in await knowledge.collections()}
        if missing := {question.collection for question in questions} - there:
            raise KnowledgeError(f"there is no collection {', '.join(map(repr, sorted(missing)))}")
        with progress("Searching", len(questions)) as step:
            for question in questions:
                found = None
                if question.documents:
                    hits = await knowledge.retriever.search(
                        question.question, collections=[question.collection], top_k=_HITS
                    )
                    found = right_places(hits, question.documents)
                places.append(found)
                step()
    return places


async def ask_all(
    settings: Settings, questions: Sequence[tuple[str, Sequence[str]]], *, at_once: int = AT_ONCE
) -> list[Result]:
    """Every question, with its collections, asked by somebody new as a batch of `kefu chat` asks it; in their order.

    `settings` are those of `bot.cli.opening.without_a_trace`, unless what is asked shall be kept.
    """
    from adapters.terminal.batch import answer_lines
    from bot.cli.opening import open_terminal, terminal_channel, wait_until_open

    batch = [
        json.dumps({"id": at, "text": text, "collections": list(collections)}).encode()
        for at, (text, collections) in enumerate(questions)
    ]
    results: list[Result] = []
    channel = terminal_channel(settings)
    async with open_terminal(settings, channel) as opened:
        await wait_until_open(opened)
        with progress("Asking", len(batch)) as step:

            def take(result: Result) -> None:
                results.append(result)
                step()

            await answer_lines(batch, channel.ask, take, at_once=at_once)
    return results


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[..., object]]:
    """A bar on a terminal, drawn once it takes a moment; nothing where nobody looks. Called with how many are done."""
    from tqdm import tqdm

    with tqdm(
        desc=what, total=total, unit=" questions", leave=False, delay=0.3, disable=not sys.stderr.isatty()
    ) as bar:
        yield bar.update
