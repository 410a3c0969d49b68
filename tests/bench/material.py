"""A hundred thousand passages with their vectors, and questions about them, for `make bench-knowledge`.

Embedding so many texts takes an hour and more on two cores, so they are composed: each passage is a title and some
sentences of one text of the measuring data, half of them with a sentence of another text; its vector is the mean of
theirs, as the real embedder gave them, with a little noise, so that no two are the same. Words and vectors are
therefore those of real Chinese and English texts, in about their real mixture, but passages of one text are more
alike than a real handbook's.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import knowledge.samples
from knowledge.embedders import create_embedder
from knowledge.embedders.base import Kind, Vector
from tests.bench.passages import CHANGED, SYNCS, Passages, write_passages

EMBEDDER = "multilingual-e5-small"
QUESTIONS = 1_000

_SEED = 20261123
_TITLE_SHARE = 1 / 3  # as in knowledge.schema
_NOISE = 0.1
"""The length of the noise, beside vectors of length 1."""

_ZH_CHARACTERS = (100, 320)
_EN_CHARACTERS = (250, 900)
_SENTENCES_A_TEXT = 10
_TEXTS = 1_100

_WIDE = re.compile("[\u2e80-\u9fff]")
_END = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    title: str
    sentences: tuple[str, ...]
    is_chinese: bool


def make_material(folder: Path, data: Path, count: int) -> None:
    """Writes everything into `folder`, unless it is there: passages.jsonl and .npy, changed-N.jsonl and .npy (the
    first `CHANGED` passages of each are others, under the same ids), questions.jsonl and .npy."""
    done = folder / "done"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(_SEED)
    texts = _spread(list(_texts(data)), chance)
    questions = _questions(data, chance)
    sentences = {sentence for text in texts for sentence in (text.title, *text.sentences)}
    vectors = _embedded(folder.parent / "sentences.npz", sorted(sentences), "passage")
    write_passages(folder, "passages", _compose(texts, vectors, count, chance, "K"))
    for number in range(SYNCS):
        write_passages(folder, f"changed-{number}", _compose(texts, vectors, CHANGED, chance, f"N{number}-"))
    asked = _embedded(folder.parent / "questions.npz", questions, "query")
    write_passages(
        folder,
        "questions",
        Passages(titles=[""] * len(questions), texts=questions, vectors=np.stack([asked[text] for text in questions])),
    )
    done.touch()


def _compose(
    texts: Sequence[_Text], vectors: Mapping[str, Vector], count: int, chance: np.random.Generator, mark: str
) -> Passages:
    titles, bodies, rows = [], [], []
    for number in range(count):
        text = texts[int(chance.integers(len(texts)))]
        sentences = list(_window(text, chance))
        if chance.random() < 0.5:
            other = texts[int(chance.integers(len(texts)))]
            if other.is_chinese == text.is_chinese:
                sentences.append(other.sentences[int(chance.integers(len(other.sentences)))])
        # A catalogue's passages name what they are about; the number also makes every title another.
        titles.append(f"{text.title} {mark}{number}")
        bodies.append(("" if text.is_chinese else " ").join(sentences))
        whole = np.mean([vectors[sentence] for sentence in sentences], axis=0)
        rows.append(_TITLE_SHARE * vectors[text.title] + (1 - _TITLE_SHARE) * whole)
    matrix = np.stack(rows).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    noise = chance.standard_normal(matrix.shape, dtype=np.float32)
    matrix += noise * np.float32(_NOISE / np.sqrt(matrix.shape[1]))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return Passages(titles=titles, texts=bodies, vectors=matrix)


def _window(text: _Text, chance: np.random.Generator) -> Iterator[str]:
    """Neighbouring sentences, as many as a passage has."""
    low, high = _ZH_CHARACTERS if text.is_chinese else _EN_CHARACTERS
    wanted = int(chance.integers(low, high))
    length = 0
    for sentence in text.sentences[int(chance.integers(len(text.sentences))) :]:
        yield sentence
        length += len(sentence)
        if length >= wanted:
            return


def _embedded(kept: Path, texts: Sequence[str], kind: Kind) -> dict[str, Vector]:
    """From the file, where it is of these very texts: embedding takes a minute or two."""
    if kept.exists():
        with np.load(kept, allow_pickle=False) as found:
            if found["texts"].tolist() == list(texts):
                return dict(zip(texts, found["vectors"], strict=True))
    embedder = create_embedder(EMBEDDER)
    vectors = np.concatenate([embedder.embed(texts[at : at + 64], kind) for at in range(0, len(texts), 64)])
    np.savez(kept, texts=np.array(texts), vectors=vectors)
    return dict(zip(texts, vectors, strict=True))


# --- Where texts and questions come from ------------------------------------------------------------


def _spread(texts: list[_Text], chance: np.random.Generator) -> list[_Text]:
    """A share of every source, and of each text as many sentences as are embedded in a minute or two."""
    order = chance.permutation(len(texts))[:_TEXTS]
    return [
        _Text(title=text.title, sentences=text.sentences[:_SENTENCES_A_TEXT], is_chinese=text.is_chinese)
        for text in (texts[int(place)] for place in order)
    ]


def _texts(data: Path) -> Iterator[_Text]:
    for row in _lines(data / "zh_cmrc2018_dev" / "corpus.jsonl"):
        yield from _text(row["title"], row["text"])
    for row in _lines(data / "en_stackfaq" / "corpus.jsonl"):
        yield from _text(row["question"], row["answer"])
    for row in _lines(data / "en_abcd_guidelines.jsonl"):
        yield from _text(row["subflow"], row["text"])
    for row in _lines(data / "en_deep_rag_handbook" / "pages.jsonl"):
        for section in re.split(r"\n#+ ", row["text"])[1:]:
            title, _, body = section.partition("\n")
            yield from _text(title, body)
    shop = Path(knowledge.samples.__file__).parent / "shop"
    for name in ("faq_zh.csv", "faq_en.csv"):
        with (shop / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield from _text(row["question"], row["answer"])


def _text(title: str, body: str) -> Iterator[_Text]:
    pieces = (" ".join(piece.split()) for piece in _END.split(body))
    sentences = tuple(piece[:400] for piece in pieces if len(piece) >= 8)
    if sentences and title.strip():
        yield _Text(title=title.strip()[:80], sentences=sentences, is_chinese=bool(_WIDE.search(sentences[0])))


def _questions(data: Path, chance: np.random.Generator) -> list[str]:
    """What people asked of these texts, in the mixture of the passages, all different."""
    chinese = [row["text"] for row in _lines(data / "zh_cmrc2018_dev" / "queries.jsonl")]
    english = [row["text"] for row in _lines(data / "en_stackfaq" / "queries.jsonl")]
    shop = [row["question"] for row in _lines(Path(__file__).parents[1] / "data" / "questions.jsonl")]
    chosen = [*_some(chinese, QUESTIONS // 2, chance), *_some(english, QUESTIONS * 3 // 10, chance)]
    chosen += _some(shop, QUESTIONS, chance)
    different = list(dict.fromkeys(chosen))[:QUESTIONS]
    return [different[int(place)] for place in chance.permutation(len(different))]


def _some(texts: Sequence[str], count: int, chance: np.random.Generator) -> list[str]:
    return [texts[int(place)] for place in chance.permutation(len(texts))[:count]]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
