"""`kefu eval`: how well a file of labelled questions is answered, refused and turned into tickets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json
from bot.cli.measuring import AT_ONCE
from bot.errors import OperatorError

if TYPE_CHECKING:  # the core is imported when something is asked, not for `kefu eval --help`
    from adapters.terminal.batch import Result
    from bot.cli.figures import Places, Threshold
    from bot.dialogue.labelled import LabelledQuestion
    from bot.dialogue.scoring import Asked
    from bot.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One good line of the file."""

    number: int
    """Counted from 1."""
    question: LabelledQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configuration:
    name: str
    """As the operator gave it."""
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The file as one configuration answered it."""

    configuration: _Configuration
    places: Sequence[Places | None]
    asked: Sequence[Asked]
    problems: Sequence[tuple[int, str]]
    """Which line got no proper reply, and why."""


def _thresholds(kind: Literal["min", "max"]) -> Callable[..., tuple[Threshold, ...]]:
    """Reads the values of an option that may be given several times."""

    def read(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Threshold, ...]:
        from bot.cli.figures import NoThreshold, parse_threshold

        try:
            return tuple(parse_threshold(value, kind) for value in values)
        except NoThreshold as error:
            raise click.BadParameter(str(error), ctx, parameter) from None

    return read


@click.command("eval", short_help="Measure answers on a file of labelled questions.")
@click.argument("file", metavar="FILE.jsonl", type=click.File("rb"))
@click.option("--split", metavar="NAME", help="Only the lines of this split.")
@click.option(
    "--against",
    metavar="FILE.toml",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also ask another configuration, side by side. May be given several times.",
)
@click.option(
    "--min",
    "least",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_thresholds("min"),
    help="Exit 1 if a figure is below, e.g. recall@1=.9 or answers.right=80%. May be given several times.",
)
@click.option(
    "--max",
    "most",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_thresholds("max"),
    help="Exit 1 if a figure is above.",
)
@click.option("--at-once", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, metavar="N")
@click.option("--misses", is_flag=True, help="Also list the questions that did not become what was expected.")
@json_option
@click.pass_obj
def evaluate(
    operator: Operator,
    file: BinaryIO,
    split: str | None,
    against: tuple[Path, ...],
    least: tuple[Threshold, ...],
    most: tuple[Threshold, ...],
    at_once: int,
    misses: bool,
    as_json: bool,
) -> int:
    """Measure answers on a file of labelled questions, with the configured knowledge and engine.

    Lines are {"question", "expect": "answer" | "refuse" | "ticket", "document"?, "answer"?, "collection"?,
    "language"?, "split"?}: the documents of which one must be named, and the words that the answer must hold. Every
    question is asked by somebody new, and nothing of it is kept: no message, no ticket.

    --min and --max are about the configuration itself, not about those it is compared with.
    """
    from bot.cli.opening import without_a_trace

    settings = operator.settings()
    configure_logging(settings, quiet=True)
    configurations = [_Configuration(name=str(settings.file or "defaults"), settings=settings)]
    configurations += [_Configuration(name=str(other), settings=operator.settings_of(other)) for other in against]
    name = Path(getattr(file, "name", "-")).name
    lines, sound = _read(file, name)
    chosen = [line for line in lines if split is None or line.question.split == split]
    if not chosen:
        raise OperatorError(f"{name}: no labelled question" + (f" of the split {split!r}" if split else ""))
    with ExitStack() as stack:
        elsewhere = [
            replace(one, settings=stack.enter_context(without_a_trace(one.settings))) for one in configurations
        ]
        runs = asyncio.run(_measure(elsewhere, chosen, at_once))
    for run in runs:
        whose = f"{run.configuration.name}: " if against else ""
        for number, problem in run.problems:
            click.echo(f"kefu: {whose}{name}:{number}: {problem}", err=True)
    report = {"file": name, "split": split, **_report(runs, chosen)}
    met = _judge(report, [*least, *most])
    if as_json:
        print_json(report)
    else:
        from bot.cli.evaluation_tables import page

        click.echo("\n".join(page(report, misses=misses)))
    _say_missed(report)
    return 0 if sound and met and not any(run.problems for run in runs) else 1


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


# --- Asking -------------------------------------------------------------------------------------------


async def _measure(configurations: Sequence[_Configuration], lines: Sequence[_Line], at_once: int) -> list[_Run]:
    from bot.cli.measuring import find_places
    from knowledge.errors import KnowledgeError

    questions = [line.question for line in lines]
    runs = []
    # All are searched before one is asked: what can not be measured at all is known before an hour of answers.
    found = []
    for one in configurations:
        try:
            found.append(await find_places(one.settings, questions))
        except KnowledgeError as error:
            if one is not configurations[0]:
                raise type(error)(f"{one.name}: {error}") from error
            raise
    for one, places in zip(configurations, found, strict=True):
        asked, problems = await _ask(one.settings, lines, at_once)
        runs.append(_Run(configuration=one, places=places, asked=asked, problems=problems))
    return runs


async def _ask(settings: Settings, lines: Sequence[_Line], at_once: int) -> tuple[list[Asked], list[tuple[int, str]]]:
    from bot.cli.measuring import ask_all

    texts = [(line.question.question, [line.question.collection]) for line in lines]
    results = await ask_all(settings, texts, at_once=at_once)
    asked = [_asked(line.question, result) for line, result in zip(lines, results, strict=True)]
    problems = [(line.number, one.problem) for line, one in zip(lines, results, strict=True) if one.problem]
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


# --- Reporting ----------------------------------------------------------------------------------------


def _report(runs: Sequence[_Run], lines: Sequence[_Line]) -> dict[str, Any]:
    """The object of `--json`: the first run, with the others under "against"."""
    from bot.cli.figures import differences_json, ratios

    shares = [ratios(run.asked, run.places) for run in runs]
    first, *others = [_report_of(run, lines) for run in runs]
    against = [
        {**report, "difference": differences_json(shares[0], share)}
        for report, share in zip(others, shares[1:], strict=True)
    ]
    return {**first, "against": against}


def _report_of(run: _Run, lines: Sequence[_Line]) -> dict[str, Any]:
    from bot.cli.figures import figures_json, ratios
    from bot.dialogue.scoring import score

    scores = score(run.asked)
    figures = figures_json(ratios(run.asked, run.places), run.asked, scores)
    retrieval = {
        "questions": figures["recall@1"]["of"],
        "recall_1": figures["recall@1"]["value"],
        "recall_5": figures["recall@5"]["value"],
        "mrr": figures["mrr"]["value"],
        "ndcg_10": figures["ndcg@10"]["value"],
    }
    return {
        "config": run.configuration.name,
        "engine": _engine(run.configuration.settings),
        "figures": figures,
        "retrieval": retrieval,
        **asdict(scores),
        "misses": _misses(lines, run.asked),
    }


def _engine(settings: Settings) -> str:
    model = settings.model
    return model.backend if model.backend == "extractive" else f"{model.backend} {Path(model.name).name}"


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


def _judge(report: dict[str, Any], thresholds: Sequence[Threshold]) -> bool:
    """Whether the thresholds are met; the report then says which."""
    report["thresholds"] = [
        {
            "figure": one.figure,
            "value": report["figures"].get(one.figure, {}).get("value"),
            one.kind: one.bound,
            "met": one.met(report["figures"]),
        }
        for one in thresholds
    ]
    return all(one["met"] for one in report["thresholds"])


def _say_missed(report: dict[str, Any]) -> None:
    for one in report["thresholds"]:
        if one["met"]:
            continue
        if one["value"] is None:
            reason = "could not be measured on these questions"
        elif "min" in one:
            reason = f"is {one['value']:g}, below {one['min']:g}"
        else:
            reason = f"is {one['value']:g}, above {one['max']:g}"
        click.echo(f"kefu: {one['figure']} {reason}", err=True)
