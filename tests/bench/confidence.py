"""`make fit-confidence`: fits `bot/dialogue/confidence.json` on what real models answer to labelled questions.

    python -m tests.bench.confidence --models DIR … [--record FILE]    asks the models, then fits
    python -m tests.bench.confidence --recorded FILE                   fits on what was recorded before

Each question goes the way it goes in a turn: search, weighing, prompt, one constrained generation. An answer is right
if the question has one, it is drawn from a document that holds it, and it has the words that it must. Fitted on the
split "tune"; the split "held" is only measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.dialogue.answer import read_generation
from bot.dialogue.confidence import COEFFICIENTS, FEATURES, Signs, confidence
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.grounding import signs_of
from bot.dialogue.intents import SHIPPED, Intent
from bot.dialogue.labelled import LabelledQuestion, calibration_error, read_questions
from bot.dialogue.phrases import Phrases
from bot.dialogue.prompt import build_prompt
from bot.dialogue.regression import Regression, fitted
from bot.dialogue.scoring import holds
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import searchable
from bot.dialogue.ticketing import Ticketing
from bot.dialogue.understanding import Understanding
from bot.errors import BadOutput
from bot.messages import Answered, Passage, Prompt
from tests.bench.models import opened_engine
from tests.dialogue.people import CallsInMemory, StandingClock, TicketsInMemory
from tests.dialogue.samples import DATA, EMBEDDER, opened

QUESTIONS = DATA / "answers.jsonl"
AT_ONCE = 8
SPLITS = ("tune", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer that may leave the house, if it is sure enough."""

    model: str
    split: str
    signs: Signs
    right: bool


async def ask(folder: Path, splits: Sequence[str]) -> list[Sample]:
    """What one model answers to all questions; outputs without an answer give no sample."""
    asked = [(question, prompt) async for question, prompt in _prompts() if question.split in splits]
    async with opened_engine(folder) as engine:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(question: LabelledQuestion, prompt: Prompt) -> Sample | None:
            async with gate:
                try:
                    said = await read_generation(
                        engine.generate(prompt), _ignore, max_chars=prompt.max_answer_chars, sure=_never
                    )
                except BadOutput:
                    return None
            return _sample(folder.absolute().name, question, prompt, said) if isinstance(said, Answered) else None

        found = await asyncio.gather(*(one(question, prompt) for question, prompt in asked))
    return [sample for sample in found if sample is not None]


async def _prompts() -> AsyncIterator[tuple[LabelledQuestion, Prompt]]:
    settings, functions = DialogueSettings(), shipped_functions()
    async with opened() as knowledge:
        understanding = await Understanding.load(knowledge, SHIPPED, embedder=EMBEDDER)
        for question in read_questions(QUESTIONS):
            text = " ".join(searchable(question.question).split())
            reading = await understanding.read(text)
            if reading.intent is not Intent.QUESTION:
                continue
            found = await knowledge.search(text, collections=[question.collection], limit=settings.top_k)
            prompt = build_prompt(
                text,
                understanding.weighed(text, found),
                history=(),
                language=question.language,
                functions=functions.specs(
                    question.language, (question.collection,), wish=reading.wish, has_ticket=False
                ),
                settings=settings,
            )
            yield question, prompt


def shipped_functions() -> Functions:
    """Those of a house without functions of its own."""
    clock = StandingClock()
    ticketing = Ticketing(tickets=TicketsInMemory(), phrases=Phrases(), settings=DialogueSettings(), clock=clock)
    return Functions(ticket_functions(ticketing), log=CallsInMemory(), clock=clock)


def _sample(model: str, question: LabelledQuestion, prompt: Prompt, answer: Answered) -> Sample | None:
    found = signs_of(answer, prompt.question, prompt.passages)
    if found is None:
        return None
    signs, sources = found
    right = _is_right(question, answer.text, sources)
    return Sample(model=model, split=question.split, signs=signs, right=right)


def _is_right(question: LabelledQuestion, text: str, sources: Sequence[Passage]) -> bool:
    documents = {source.document for source in sources}
    return (
        question.expect == "answer"
        and bool(question.documents & documents)
        and all(holds(text, words) for words in question.words)
    )


def _ignore(snapshot: str) -> None:
    """Nobody watches it grow."""


def _never(text: str) -> bool:
    """So there is nothing to check while it grows."""
    return False


# -- Fitting --


def fit(samples: Sequence[Sample]) -> dict[str, Any]:
    """The content of the file: coefficients, where they come from, how well they do."""
    tune = [sample for sample in samples if sample.split == "tune"]
    names = [name for name in FEATURES if any(getattr(sample.signs, name) is not None for sample in tune)]
    rows = np.array([[getattr(sample.signs, name) or 0.0 for name in names] for sample in tune], dtype=np.float64)
    regression = fitted(rows, np.array([float(sample.right) for sample in tune]), names)
    models = ", ".join(sorted({sample.model for sample in samples}))
    return {
        **regression.as_json(),
        "fitted_on": f"{QUESTIONS.name}, split tune, answered by {models}",
        **{split: measure([one for one in samples if one.split == split], regression) for split in SPLITS},
    }


def measure(samples: Sequence[Sample], regression: Regression) -> dict[str, Any]:
    """How well the confidence tells right answers from wrong ones."""
    sure = np.array([confidence(sample.signs, regression) for sample in samples])
    right = np.array([sample.right for sample in samples])
    sent = sure >= DialogueSettings().min_confidence
    return {
        "answers": len(samples),
        "right": _share(right),
        "sent": _share(sent),
        "right_of_sent": _share(right[sent]),
        "right_of_held_back": _share(right[~sent]),
        "ece": round(calibration_error(sure, right), 3) if samples else None,
    }


def _share(flags: Any) -> float | None:
    return round(float(np.mean(flags)), 3) if len(flags) else None


def _read(path: Path) -> list[Sample]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Sample(**{**row, "signs": Signs(**row["signs"])}) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("--split", choices=SPLITS, action="append", dest="splits")
    parser.add_argument("--out", type=Path, default=COEFFICIENTS)
    arguments = parser.parse_args()
    samples = [sample for file in arguments.recorded for sample in _read(file)]
    for folder in arguments.models:
        samples += asyncio.run(ask(folder, arguments.splits or SPLITS))
    if not samples:
        parser.error("name models to ask, or what was recorded of them")
    if arguments.record:
        lines = (json.dumps(asdict(sample), ensure_ascii=False) for sample in samples)
        arguments.record.write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = fit(samples)
    arguments.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({split: content[split] for split in SPLITS}, indent=1))


if __name__ == "__main__":
    main()
