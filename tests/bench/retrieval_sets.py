"""The labelled sets that retrieval is measured on: what is synced, what is asked, and when a hit is right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from knowledge.samples import SAMPLE_SOURCES
from knowledge.values import DEFAULT_COLLECTION, Hit

SHOP_QUESTIONS = Path(__file__).parents[1] / "data" / "questions.jsonl"

# Of a sentence's neighbouring words, how many a passage has to hold: the set quotes its pages without their marks and
# sometimes leaves a word out.
_HELD = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    text: str
    right: Callable[[Hit], bool]
    collections: tuple[str, ...] = (DEFAULT_COLLECTION,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    name: str
    sources: Mapping[str, Sequence[Path]]
    """Collection to its sources; sets of equal sources share an index."""

    questions: tuple[Asked, ...]
    by_document: bool = True
    """A document counts once, at its best passage; else every passage counts."""

    note: str = field(default="")


def datasets(data: Path, work: Path) -> list[Dataset]:
    """Ours, and those in `data`; what is no source of `knowledge sync` as it stands is written out to `work`."""
    return [
        _shop("tune", "our questions on the sample shop, tuning half"),
        _shop("report", "our questions on the sample shop, other half"),
        _rows(data / "en_stackfaq", "StackFAQ (English, rephrased questions)"),
        _rows(data / "zh_cmrc2018_dev", "CMRC 2018 (Chinese, encyclopedia)"),
        _intents(data / "en_clinc150", work / "clinc150"),
        *_handbook(data / "en_deep_rag_handbook", work / "handbook"),
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _of_document(*gold: str) -> Callable[[Hit], bool]:
    return lambda hit: hit.document in gold or hit.id in gold


def _shop(split: str, name: str) -> Dataset:
    """Worded unlike the entries."""
    asked = [row for row in _lines(SHOP_QUESTIONS) if row["expect"] == "answer" and row["split"] == split]
    questions = tuple(
        Asked(
            text=row["question"],
            right=_of_document(*_list(row["document"])),
            collections=tuple(_list(row["collection"])),
        )
        for row in asked
    )
    return Dataset(name=name, sources=SAMPLE_SOURCES, questions=questions)


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _rows(folder: Path, name: str) -> Dataset:
    source = folder / "corpus.jsonl"
    questions = tuple(
        Asked(text=row["text"], right=_of_document(*(f"{source.name}#{gold}" for gold in row["gold"])))
        for row in _lines(folder / "queries.jsonl")
    )
    return Dataset(name=name, sources={DEFAULT_COLLECTION: [source]}, questions=questions)


def _intents(folder: Path, work: Path) -> Dataset:
    """An entry an intent, its ten examples as the text; what people said is to find its intent's."""
    work.mkdir(parents=True, exist_ok=True)
    entries = (
        {"id": row["intent"], "title": row["intent"].replace("_", " "), "text": "\n".join(row["examples"])}
        for row in _lines(folder / "kb.jsonl")
    )
    source = work / "kb.jsonl"
    source.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    questions = tuple(
        Asked(text=row["text"], right=_of_document(f"{source.name}#{row['intent']}"))
        for row in _lines(folder / "test.jsonl")
        if row["intent"] != "oos"
    )
    name = "CLINC150 (English, intents by ten examples)"
    return Dataset(name=name, sources={DEFAULT_COLLECTION: [source]}, questions=questions)


def _handbook(data: Path, folder: Path) -> list[Dataset]:
    """Long Markdown pages, cut by us. Once by page, once by the sentence that answers the question."""
    for page in _lines(data / "pages.jsonl"):
        file = folder / page["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page["text"], encoding="utf-8")
    # The others need two pages, or a turn before this one.
    asked = [row for row in _lines(data / "questions.jsonl") if len(row["retrieval"]) == 1 and "context" not in row]
    sources = {DEFAULT_COLLECTION: [folder]}
    by_page = tuple(Asked(text=row["question"], right=_of_document(*row["retrieval"][0])) for row in asked)
    by_sentence = tuple(Asked(text=row["question"], right=_holds(row["retrieval"][0])) for row in asked)
    return [
        Dataset(name="GitLab handbook (English, pages), the page", sources=sources, questions=by_page),
        Dataset(
            name="GitLab handbook (English, pages), the gold sentence",
            sources=sources,
            questions=by_sentence,
            by_document=False,
        ),
    ]


def _holds(gold: Mapping[str, Sequence[str]]) -> Callable[[Hit], bool]:
    def right(hit: Hit) -> bool:
        sentences = gold.get(hit.document, ())
        return any(holds_sentence(hit.text, sentence) for sentence in sentences)

    return right


def holds_sentence(passage: str, sentence: str) -> bool:
    """Whether the words of the sentence stand in the passage, in their order, but for a few."""
    wanted, found = set(_neighbours(sentence)), set(_neighbours(passage))
    return len(wanted & found) >= _HELD * len(wanted)


def _neighbours(text: str) -> list[tuple[str, str]]:
    shown = re.sub(r"\]\([^)]*\)", "]", text)
    return list(pairwise(["", *re.findall(r"\w+", shown.lower())]))[1:]
