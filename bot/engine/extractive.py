"""The engine without a model: the best passage's own words.

It is what a fresh machine answers with, and what answers while a model is down. It invents nothing, because it writes
nothing; its confidence is the calibrated chance that the passage answers the question (`Passage.chance`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from bot.dialogue.evidence import asked_kinds, held_kinds, words_of
from bot.dialogue.text import clipped, joined, sentences, terms
from bot.errors import EngineUnavailable
from bot.messages import Answered, Delta, EngineOutput, FollowUp, Language, Passage, Prompt, Rewritten
from bot.ports import EngineHealth

OTHER_LANGUAGE_FACTOR = 0.5
"""What a passage in another language than the reader's counts against one in theirs: the words are not translated."""
SHOWN_FROM = 0.5
"""An answer less sure than this is not shown while it grows: the house may yet refuse it."""


class ExtractiveEngine:
    """Answers with sentences of the passage that most likely answers the question."""

    def __init__(self, *, shown_from: float = SHOWN_FROM) -> None:
        self._shown_from = shown_from
        self._started = False

    @property
    def name(self) -> str:
        return "extractive"

    async def start(self) -> None:
        self._started = True

    async def wait_loaded(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        self._started = False

    def health(self) -> EngineHealth:
        return EngineHealth(ready=self._started, detail="" if self._started else "is not started")

    async def rewrite(self, followup: FollowUp, *, seconds: float) -> Rewritten | None:
        return None  # it writes nothing

    async def generate(self, prompt: Prompt) -> AsyncIterator[EngineOutput]:
        if not self._started:
            raise EngineUnavailable("the extractive engine is not started")
        if not prompt.passages:
            yield Answered(text="", confidence=0.0)
            return
        passage = max(prompt.passages, key=lambda one: _worth(one, prompt.language))  # of equal ones the first
        pieces = excerpt_of(passage, prompt.question, prompt.max_answer_chars)
        if passage.chance >= self._shown_from:
            for count in range(1, len(pieces)):
                yield Delta(text=_put_together(pieces[:count]))
            yield Delta(text=_put_together(pieces))
        yield Answered(text=_put_together(pieces), confidence=passage.chance, quoted=True, passages=(passage.id,))


def _worth(passage: Passage, wanted: Language) -> float:
    language = words_of(passage).language
    return passage.chance if language in (None, wanted) else passage.chance * OTHER_LANGUAGE_FACTOR


# -- Choosing the words --

# What the first piece is worth by itself: as much as one and a half words of the question. An answer column begins with
# the answer; a section of a document begins with anything.
_FIRST_OF_ANSWER = 1.3
_FIRST_OF_TEXT = 0.5
_KIND = 1.8
"""What it is worth that a piece holds the price, the duration … that is asked for."""
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•]|(\d{1,3})[.)、])\s+(.*)$")
_TABLE_ROW = re.compile(r"^\s*\|(.*)\|\s*$")
_TABLE_RULE = re.compile(r"^\s*\|?[\s:|-]*-{2,}[\s:|-]*\|?\s*$")
_HEADING = re.compile(r"^\s*#{1,6}\s+|\s*\{#[^}]*\}\s*$")


def excerpt_of(passage: Passage, question: str, limit: int) -> tuple[str, ...]:
    """The run of the passage's sentences, list items or table rows that fits the limit and meets the question best.

    An answer column that fits is taken whole. A sentence that alone is longer than the limit is cut at a clause.
    """
    pieces = units(passage.text)
    if not pieces:
        return (clipped(passage.text.strip(), limit),)
    if len(_put_together(pieces)) <= limit:
        return tuple(_renumbered(pieces))
    weights = _relevance(pieces, question, first=_FIRST_OF_ANSWER if passage.question else _FIRST_OF_TEXT)
    best: tuple[float, int, int] | None = None
    for start in range(len(pieces)):
        end = start + 1
        while end < len(pieces) and len(_put_together(pieces[start : end + 1])) <= limit:
            end += 1
        worth = sum(weights[start:end])
        if best is None or worth > best[0] + 1e-9:
            best = (worth, start, end)
    assert best is not None
    _, start, end = best
    if end - start == 1:
        return (clipped(_renumbered(pieces[start:end])[0], limit),)
    return tuple(_renumbered(pieces[start:end]))


def _renumbered(pieces: Sequence[str]) -> list[str]:
    """Steps taken from the middle of a list as plain points: an answer that begins with 4 looks torn off."""
    item = _LIST_ITEM.match(pieces[0])
    if item is None or item[1] in (None, "1"):
        return list(pieces)
    return [f"- {found[2]}" if (found := _LIST_ITEM.match(piece)) else piece for piece in pieces]


def _relevance(pieces: Sequence[str], question: str, *, first: float) -> list[float]:
    """How much each piece has to do with the question. Words that every piece has tell nothing; the beginning, where
    an answer usually stands, counts `first` by itself."""
    # Of a follow-up the last line is what is asked; the lines before it only say what about.
    before, _, last = question.rpartition("\n")
    asked, about, kinds = terms(last), terms(before), asked_kinds(last)
    words = [terms(piece) for piece in pieces]
    spread = Counter(term for one in words for term in one)
    worth = []
    for at, (piece, mine) in enumerate(zip(pieces, words, strict=True)):
        meets = sum(
            (1.0 if term in asked else 0.3) * math.log(1 + len(pieces) / spread[term])
            for term in (asked | about) & mine
        )
        holds = _KIND if kinds & held_kinds(piece) else 0.0
        worth.append(meets + holds + (first if at == 0 else 0.1))
    return worth


def units(text: str) -> list[str]:
    """A passage's Markdown as pieces that each stand on their own: sentences, list items, table rows in words."""
    pieces: list[str] = []
    paragraph: list[str] = []
    header: list[str] = []

    def close_paragraph() -> None:
        if paragraph:
            pieces.extend(sentences(_joined_lines(paragraph)))
            paragraph.clear()

    for line in text.split("\n"):
        row, item = _TABLE_ROW.match(line), _LIST_ITEM.match(line)
        if not line.strip() or row or item:
            close_paragraph()
        if _TABLE_RULE.match(line):
            continue
        if row:
            cells = [cell.strip() for cell in row[1].split("|")]
            if header:
                pieces.append(_row_in_words(header, cells))
            else:
                header = cells
            continue
        header = []
        if item:
            pieces.append(f"{item[1]}. {item[2].strip()}" if item[1] else f"- {item[2].strip()}")
        elif line.startswith((" ", "\t")) and pieces and not paragraph and _is_item(pieces[-1]):
            pieces[-1] = _joined_lines([pieces[-1], line.strip()])
        elif line.strip():
            paragraph.append(_HEADING.sub("", line).strip())
    close_paragraph()
    return [piece for piece in pieces if piece.strip()]


def _is_item(piece: str) -> bool:
    return bool(_LIST_ITEM.match(piece))


def _joined_lines(lines: Sequence[str]) -> str:
    """A paragraph's lines as one: no blank where both sides are Chinese."""
    text = ""
    for line in lines:
        blank = " " if text and text[-1].isascii() and line[:1].isascii() else ""
        text += blank + line
    return text


def _row_in_words(header: Sequence[str], cells: Sequence[str]) -> str:
    """ "Electronics: Warranty 1 year; Home repair no": a row says what it is about, then each column with its name."""
    rest = [f"{name} {cell}".strip() for name, cell in zip(header[1:], cells[1:], strict=False) if cell]
    wide = not "".join(cells).isascii()
    return (cells[0] + ("：" if wide else ": ") + ("；" if wide else "; ").join(rest)) if rest else cells[0]


def _put_together(pieces: Sequence[str]) -> str:
    """Sentences in a row; list items a line each."""
    text = ""
    for piece in pieces:
        if text and (_is_item(piece) or _is_item(text.rsplit("\n", 1)[-1])):
            text += "\n" + piece
        else:
            text = joined([text, piece]) if text else piece
    return text
