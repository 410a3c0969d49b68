"""`kefu eval`: how well a file of labelled questions is answered, refused and turned into tickets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json
from bot.errors import OperatorError

if TYPE_CHECKING:  # the core is imported when something is asked, not for `kefu eval --help`
    from adapters.terminal.batch import Result
    from bot.dialogue.labelled import LabelledQuestion
    from bot.dialogue.scoring import Asked
    from bot.settings import Settings

AT_ONCE = 8
"""Questions asked side by side: enough for a model to batch, few enough that each has its answer in time on a small
machine."""
_FOUND_AMONG = 5
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One good line of the file."""

    number: int
    """Counted from 1."""
    question: LabelledQuestion


@click.command("eval", short_help="Measure answers on a file of labelled questions.")
@click.argument("file", metavar="FILE.jsonl", type=click.File("rb"))
@click.option("--split", metavar="NAME", help="Only the lines of this split.")
@click.option("--at-once", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, metavar="N")
@click.option("--misses", is_flag=True, help="Also list the questions that did not become what was expected.")
@json_option
@click.pass_obj
def evaluate(operator: Operator, file: BinaryIO, split: str | None, at_once: int, misses: bool, as_json: bool) -> int:
    """Measure answers on a file of labelled questions, with the configured knowledge and engine.

    Lines are {"question", "expect": "answer" | "refuse" | "ticket", "document"?, "answer"?, "collection"?,
    "language"?, "split"?}: the documents of which one must be named, and the words that the answer must hold. Every
    question is asked by somebody new, and nothing of it is kept: no message, no ticket.
    """
    from bot.cli.opening import without_a_trace

    settings = operator.settings()
    configure_logging(settings, quiet=True)
    name = Path(getattr(file, "name", "-")).name
    lines, sound = _read(file, name)
    chosen = [line for line in lines if split is None or line.question.split == split]
    if not chosen:
        raise OperatorError(f"{name}: no labelled question" + (f" of the split {split!r}" if split else ""))
    with without_a_trace(settings) as elsewhere:
        report, answered = asyncio.run(_measure(elsewhere, chosen, name, at_once))
    report = {"file": name, "split": split, "engine": _engine(settings), **report}
    if as_json:
        print_json(report)
    else:
        _print_report(report, misses=misses)
    return 0 if sound and answered else 1


def _read(file: BinaryIO, name: str) -> tuple[list[_Line], bool]:
    """The good lines, and whether all were; the bad ones are named."""
    from bot.dialogue.labelled import NotLabelled, parse_line

    lines, sound = [], True
    for number, raw in enumerate(file, start=1):
        raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not raw.strip():
            continue
        try:
            lines.append(_Line(number=number, question=parse_line(raw)))
        except NotLabelled as error:
            sound = False
            click.echo(f"kefu: {name}:{number}: {error}", err=True)
    return lines, sound


def _engine(settings: Settings) -> str:
    model = settings.model
    return model.backend if model.backend == "extractive" else f"{model.backend} {Path(model.name).name}"


# --- Asking -------------------------------------------------------------------------------------------


async def _measure(settings: Settings, lines: Sequence[_Line], name: str, at_once: int) -> tuple[dict[str, Any], bool]:
    """The figures, and whether every question got a reply."""
    from bot.dialogue.scoring import score
    from knowledge.evaluation import figures

    places = await _places(settings, lines)
    asked, problems = await _ask(settings, lines, at_once)
    for number, problem in problems:
        click.echo(f"kefu: {name}:{number}: {problem}", err=True)
    found = figures(places)
    retrieval = {
        "questions": found.questions,
        "recall_1": round(found.recall_1, 4) if places else None,
        "recall_5": round(found.recall_5, 4) if places else None,
    }
    report = {"retrieval": retrieval, **asdict(score(asked)), "misses": _misses(lines, asked)}
    return report, not problems


async def _places(settings: Settings, lines: Sequence[_Line]) -> list[int | None]:
    """Where a search alone finds the first right document of each question that has one, from 1."""
    from knowledge.config import KnowledgeConfig
    from knowledge.errors import KnowledgeError
    from knowledge.evaluation import first_right
    from knowledge.service import open_knowledge

    section = settings.knowledge
    config = KnowledgeConfig(uri=section.uri, embedder=section.embedder, top_k=section.top_k)
    questions = [line.question for line in lines]
    places = []
    async with open_knowledge(config) as knowledge:
        await knowledge.ensure_samples()
        there = {summary.name for summary in await knowledge.collections()}
        if missing := {question.collection for question in questions} - there:
            raise KnowledgeError(f"there is no collection {', '.join(map(repr, sorted(missing)))}")
        with _progress("Searching", len(questions)) as step:
            for question in questions:
                if question.documents:
                    hits = await knowledge.retriever.search(
                        question.question, collections=[question.collection], top_k=_FOUND_AMONG
                    )
                    places.append(first_right(hits, question.documents))
                step()
    return places


async def _ask(settings: Settings, lines: Sequence[_Line], at_once: int) -> tuple[list[Asked], list[tuple[int, str]]]:
    """Every question as a batch of `kefu chat` asks it, and what went wrong with which line."""
    from adapters.terminal.batch import answer_lines
    from bot.cli.opening import open_terminal, terminal_channel, wait_until_open

    batch = [
        json.dumps({"id": at, "text": line.question.question, "collections": [line.question.collection]}).encode()
        for at, line in enumerate(lines)
    ]
    asked: list[Asked] = []
    problems: list[tuple[int, str]] = []
    channel = terminal_channel(settings)
    async with open_terminal(settings, channel) as opened:
        await wait_until_open(opened)
        with _progress("Asking", len(lines)) as step:

            def take(result: Result) -> None:
                line = lines[result.line - 1]
                asked.append(_asked(line.question, result))
                if result.problem:
                    problems.append((line.number, result.problem))
                step()

            await answer_lines(batch, channel.ask, take, at_once=at_once)
    return asked, problems


def _asked(question: LabelledQuestion, result: Result) -> Asked:
    from bot.dialogue.scoring import Asked
    from bot.messages import Outcome

    answer = result.answer
    if answer is None:
        return Asked(question=question, outcome=None)
    return Asked(
        question=question,
        outcome=Outcome(answer["outcome"]),
        text=answer["response"],
        sources=frozenset(source["id"] for source in answer["sources"]),
        confidence=answer["confidence"],
        latency_ms=answer["latency_ms"],
    )


def _misses(lines: Sequence[_Line], asked: Sequence[Asked]) -> list[dict[str, Any]]:
    return [
        {
            "line": line.number,
            "question": one.question.question,
            "expect": one.question.expect,
            "became": one.became,
            "confidence": one.confidence,
            "sources": sorted(one.sources),
        }
        for line, one in zip(lines, asked, strict=True)
        if one.question.expect != one.became or (one.became == "answer" and not one.right)
    ]


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """A bar on a terminal, drawn once it takes a moment; nothing where nobody looks."""
    from tqdm import tqdm

    with tqdm(
        desc=what, total=total, unit=" questions", leave=False, delay=0.3, disable=not sys.stderr.isatty()
    ) as bar:
        yield bar.update


# --- Printing -----------------------------------------------------------------------------------------


def figure_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of a report (the object of `--json`) as a reader wants them: a name and a value each."""
    found, answers = report["retrieval"], report["answers"]
    refusals, tickets, latency = report["refusals"], report["tickets"], report["latency_ms"]
    rows = [
        ("right document found first", _percent(found["recall_1"])),
        (f"right document among the first {_FOUND_AMONG}", _percent(found["recall_5"])),
        ("answered, and right", _percent(answers["right"])),
        ("answered, but wrong", _percent(answers["wrong"])),
        ("refused though answerable", _percent(answers["refused"])),
        ("right among all that was answered", _percent(answers["precision"])),
        ("refusals: recall", _percent(refusals["recall"])),
        ("refusals: precision", _percent(refusals["precision"])),
        ("tickets: recall", _percent(tickets["recall"])),
        ("tickets: precision", _percent(tickets["precision"])),
        ("calibration error of the confidence", f"{report['calibration_error']:.3f}"),
    ]
    for language, figures in report["languages"].items():
        rows += [
            (f"{language}: answered, and right", _percent(figures["right"])),
            (f"{language}: refusals, recall", _percent(figures["refusals"])),
            (f"{language}: tickets, recall", _percent(figures["tickets"])),
        ]
    return [*rows, ("latency, median", _seconds(latency["median"])), ("latency, p95", _seconds(latency["p95"]))]


def confusion_rows(report: dict[str, Any]) -> list[list[str]]:
    """What was expected against what it became, with a row and a column of names."""
    confusion = report["confusion"]
    columns = list(next(iter(confusion.values())))
    rows = [[expect, *(str(became[column]) for column in columns)] for expect, became in confusion.items()]
    return [["expected \\ became", *columns], *rows]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _print_report(report: dict[str, Any], *, misses: bool) -> None:
    of = f"{report['file']}, split {report['split']}" if report["split"] else report["file"]
    click.echo(f"{of}: {report['questions']} questions, {report['engine']}\n")
    for table in (figure_rows(report), confusion_rows(report)):
        click.echo("\n".join(aligned(table)) + "\n")
    for miss in report["misses"] if misses else ():
        words = " ".join(miss["question"].split())
        shown = words[:_SHOWN_CHARACTERS] + ("…" if len(words) > _SHOWN_CHARACTERS else "")
        became = "wrong answer" if miss["expect"] == miss["became"] else miss["became"]
        click.echo(f"{report['file']}:{miss['line']}: {miss['expect']} became {became} ({miss['confidence']}): {shown}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"
