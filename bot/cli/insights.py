"""`kefu insights`: what customers asked in vain, drafts of the missing answers, and whether they helped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json
from bot.cli.measuring import AT_ONCE
from bot.errors import KefuError

if TYPE_CHECKING:  # the core is imported when something is asked, not for `kefu insights --help`
    import numpy as np
    import numpy.typing as npt

    from bot.history.unsolved import Unsolved
    from bot.insights import Draft, Group
    from bot.settings import Settings
    from knowledge.service import Knowledge
    from knowledge.values import Hit

_TURNS = 5000
"""Unsolved turns looked at; of more, the newest."""
_NEAREST = 3
_EMBEDDED_AT_ONCE = 64
_ALSO_ASKED = 10
_EVERY = 6
"""Which of the shipped examples of what customers say make out the middle of ordinary ones: 70 do as well as all."""
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    groups: Sequence[Group]
    nearest: Sequence[Sequence[Hit]]
    """For each group, the passages nearest to its question."""
    left_out: bool
    """There was more than can be looked at; it is older."""


def _since(ctx: click.Context, parameter: click.Parameter, value: str) -> datetime:
    """`12h`, `30d`, `4w`, or a day."""
    if match := re.fullmatch(r"(\d{1,4})([hdw])", value.strip()):
        return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
    try:
        day = date.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter("must be like 12h, 30d, 4w or 2026-01-31", ctx, parameter) from None
    return datetime(day.year, day.month, day.day).astimezone()  # midnight where the operator is


@click.command("insights", short_help="Show what was asked in vain, and draft answers.")
@click.option("--since", default="30d", show_default=True, callback=_since, metavar="TIME", help="12h, 30d, or a day.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Groups to print.")
@click.option("--draft", metavar="ID", help="Write a knowledge entry for a group or a ticket from the agent's answer.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.md",
    help="Where the draft goes (default: drafts/ID.md).",
)
@click.option("--replay", is_flag=True, help="Ask the questions again and show which are solved now.")
@click.option("--at-once", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, metavar="N")
@json_option
@click.pass_obj
def insights(
    operator: Operator,
    since: datetime,
    limit: int,
    draft: str | None,
    output: Path | None,
    replay: bool,
    at_once: int,
    as_json: bool,
) -> int:
    """Group the questions that were refused, rated down or handed to a person; the most frequent first.

    Personal data in them is masked. --draft writes what an agent answered as an entry for a person to read and
    correct; put it among the sources of your knowledge, run `kefu knowledge sync`, and see with --replay what it
    solved. A replay asks as somebody new, and nothing of it is kept.
    """
    if draft is not None and replay:
        raise click.UsageError("--draft and --replay are two different things")
    if output is not None and draft is None:
        raise click.UsageError("--output goes with --draft ID")
    settings = operator.settings()
    configure_logging(settings, quiet=True)
    if draft is not None:
        return _write_draft(settings, since, draft.strip().upper(), output, as_json)
    found = asyncio.run(_look(settings, since, nearest=0 if replay else limit))
    if replay:
        return _replay(settings, found, limit, at_once, as_json)
    from bot.app import data_folder
    from bot.cli.insights_pages import overview, overview_json
    from bot.replaying import read_replayed

    replayed = read_replayed(data_folder(settings))
    if as_json:
        report = overview_json(since, found.groups[:limit], found.nearest, replayed, total=len(found.groups))
        print_json({**report, "left_out": found.left_out})
    else:
        click.echo("\n".join(overview(since, found.groups, found.nearest, replayed, limit, left_out=found.left_out)))
    return 0


# --- Looking ------------------------------------------------------------------------------------------


async def _look(settings: Settings, since: datetime, *, nearest: int) -> _Found:
    """Groups of all that is unsolved since then; for the first `nearest` of them, the nearest passages.

    :raises KnowledgeError: the embedder can not be loaded, or the index not be searched.
    """
    from bot.answering import knowledge_config
    from bot.insights import MAX_QUESTIONS, group, wordings
    from knowledge.service import open_knowledge

    asked = await _unsolved(settings, since)
    left_out = len(asked) >= _TURNS
    while len(texts := wordings(asked)) > MAX_QUESTIONS:
        asked, left_out = asked[len(texts) - MAX_QUESTIONS :], True
    if not asked:
        return _Found(groups=(), nearest=(), left_out=False)
    async with open_knowledge(knowledge_config(settings)) as knowledge:
        vectors = await _embed(knowledge, texts)
        ordinary = await knowledge.retriever.embed_queries(await asyncio.to_thread(ordinary_questions))
        groups = await asyncio.to_thread(group, asked, vectors, ordinary.mean(axis=0))
        hits = [await _search(knowledge, one) for one in groups[:nearest]]
    return _Found(groups=groups, nearest=hits, left_out=left_out)


async def _unsolved(settings: Settings, since: datetime) -> tuple[Unsolved, ...]:
    from bot.cli.opening import open_database
    from bot.history.unsolved import unsolved

    async with open_database(settings) as database:
        return await database.read(lambda connection: unsolved(connection, since=since, limit=_TURNS))


async def _embed(knowledge: Knowledge, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    import numpy as np

    from bot.cli.measuring import progress

    parts = []
    with progress("Embedding", len(texts)) as step:
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            parts.append(await knowledge.retriever.embed_queries(texts[start : start + _EMBEDDED_AT_ONCE]))
            step(len(parts[-1]))
    return np.concatenate(parts)


def ordinary_questions() -> list[str]:
    """What customers say, from the examples that ship with kefu: their middle is where cosines are taken from."""
    from bot.dialogue.intents import SHIPPED, read_examples

    return list(read_examples(SHIPPED).texts)[::_EVERY]


async def _search(knowledge: Knowledge, group: Group) -> tuple[Hit, ...]:
    return await knowledge.retriever.search(group.question, collections=group.collections, top_k=_NEAREST)


# --- Drafts -------------------------------------------------------------------------------------------


def _write_draft(settings: Settings, since: datetime, wanted: str, output: Path | None, as_json: bool) -> int:
    from bot.cli.insights_pages import draft_json, draft_page

    draft, number, group_id = asyncio.run(_draft(settings, since, wanted))
    path = output or Path("drafts", f"{wanted}.md")
    text = draft.markdown({"ticket": number, "group": group_id, "status": "draft; read, correct, then sync it"})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; name another with --output") from None
    except OSError as error:
        raise click.ClickException(f"{path} can not be written: {error.strerror}") from error
    if as_json:
        print_json(draft_json(draft, path=path, ticket=number, group=group_id))
    else:
        click.echo("\n".join(draft_page(draft, path=path, ticket=number)))
    return 0


async def _draft(settings: Settings, since: datetime, wanted: str) -> tuple[Draft, str, str]:
    """The draft, the ticket that it is taken from, and the group it is for.

    :raises KefuError: there is no such group or ticket, or no agent has answered.
    """
    from bot.cli.opening import open_database
    from bot.history.unsolved import agents_replies
    from bot.insights import draft

    found = await _look(settings, since, nearest=0)
    group = next((one for one in found.groups if wanted == one.id or wanted in one.tickets), None)
    if group is None:
        raise KefuError(f"no group and no ticket of one is called {wanted[:40]!a}; is it older than --since?")
    numbers = group.tickets if wanted == group.id else (wanted,)
    async with open_database(settings) as database:
        said = await database.read(lambda connection: agents_replies(connection, numbers))
    answered = [number for number in numbers if number in said]
    if not answered:
        waiting = f"; waiting: {', '.join(numbers)}" if numbers else "; none of its questions became a ticket"
        raise KefuError(f"no agent has answered {wanted} yet{waiting}")
    number = answered[-1]
    question = group.question
    if wanted != group.id:
        question = next(one.question for one in group.asked if wanted in one.tickets)
    others = [text for text in group.wordings if text != question][:_ALSO_ASKED]
    return draft(question, others, said[number]), number, group.id


# --- Asking again -------------------------------------------------------------------------------------


def _replay(settings: Settings, found: _Found, limit: int, at_once: int, as_json: bool) -> int:
    from bot.cli.insights_pages import replay_json, replay_page
    from bot.cli.measuring import ask_all
    from bot.cli.opening import without_a_trace
    from bot.sections import FunctionSettings

    asked = {(one.question, one.collections): None for group in found.groups[:limit] for one in group.asked}
    # What a company's own function does would be done, however little of the question is kept.
    harmless = replace(settings, functions=FunctionSettings())
    with without_a_trace(harmless) as elsewhere:
        results = asyncio.run(ask_all(elsewhere, list(asked), at_once=at_once)) if asked else []
    answers = dict(zip(asked, results, strict=True))
    report = replay_json(found.groups[:limit], answers)
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(replay_page(report)))
    problems = [result.problem for result in results if result.problem]
    for problem in sorted(set(problems)):
        click.echo(f"kefu: {problems.count(problem)} of the questions: {problem}", err=True)
    return 1 if problems else 0
