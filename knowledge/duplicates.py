"""Passages that say what a better one before them says: the same text in two collections, documents or editions.

Two passages say the same when their sentences are the same, word by word and in the same order, but for case, width,
punctuation, blanks and words that carry nothing ("please", "的"); or when all sentences of the second stand together in
the first. And what the second's heading or question names has to be named by the first: "Yes, within 7 days" below
"Can I return shoes?" is not what it is below "Can I return food?".

No measure of likeness decides, because in a knowledge the answers that differ in one word are the ones that must stay
two: "7 days" and "30 days", one city and the next, "can" and "can not". Figures: docs/decisions/0003-retrieval.md.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from knowledge.chunking import TITLE_SEPARATOR
from knowledge.values import Hit

# In bytes: 14 Chinese characters or eight English words say what they are about. "Yes, of course" stands in many a text
# that says something else, and "Two years" below many a heading.
_SPEAKS_FOR_ITSELF = 42

_SENTENCE_ENDS = "。！？!?；;\n"
_FULL_STOP = re.compile(r"\.(?=\s|$)")
# The marks of prose and Markdown; signs that say something (%, ¥, <, ✓) stay.
_MARKS = "\t\r\f\v\u3000\"'`“”‘’«»()[]{}*_#~|\\…—–·、，（）【】《》「」『』"
_FILLING = "请您你的了呢吧啊呀哦嘛哈会将就"
_PLAIN = {
    # Full-width forms, as NFKC has them, which takes as long as everything else together.
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **{ord(mark): " " for mark in (*_MARKS, *(chr(ord(mark) + 0xFEE0) for mark in _MARKS if "!" <= mark <= "~"))},
    **{ord(end): "\n" for end in (*_SENTENCE_ENDS, "！", "？", "；")},
    **{ord(word): None for word in _FILLING},
}
# Between digits these are part of a number, and a dash before one is its sign.
_NO_NUMBER = re.compile(r"[.,:/-](?:(?<!\d.)(?<! -)|(?!\d))")
_FILLERS = frozenset(
    "a an the please kindly usually normally generally typically simply just will 一般 通常 一 般 通 常".split()  # noqa: SIM905
) | frozenset(_FILLING)
_BLANK = re.compile(r" (?:(?<!\d )|(?!\d))")
_EDGE = 64
_TELLING = re.compile("[a-z]{4,}|[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_NAMES_NOTHING = frozenset(
    "a an and are at be can could do does for from get have how i if in is it may my of on or our should the there to "  # noqa: SIM905
    "us we what when where which who will with would you your s t 的 了 吗 呢 吧 啊 请 问 怎 么 如 何 什 多 少 几 能 "
    "可 以 才 还 会 要 想 我 你 您 们 是 有 在 和 与 及 关 于 说 明".split()
)


@dataclass(frozen=True, slots=True)
class _Said:
    sentences: str
    """What is meant by each, between two line feeds."""

    letters: str
    """The same without line feeds: where a sentence ends is a matter of taste."""

    speaks_for_itself: bool
    names: frozenset[str]
    """The telling words of the question, or of the headings as far as they are needed."""

    words: str
    """Headings and text, for looking up what is named."""


class Distinct:
    """Collects hits, best first, as long as they add something."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self._texts: list[str] = []

    def add(self, hit: Hit) -> bool:
        """Whether it was taken: not where one before it says all that it says."""
        label, body = _label(hit).casefold(), _body(hit).casefold()
        if any(_repeats(_said_by(hit), _said_by(before)) for before in self._like(label, body)):
            return False
        self.hits.append(hit)
        self._texts.append(f"{label}\n{body}")
        return True

    def _like(self, label: str, body: str) -> Iterator[Hit]:
        """Those that may say it. Nearly every two passages are told apart by the words of the last heading, or else by
        those at the text's edges, in a tenth of the time that comparing them takes."""
        names = _names(label.rpartition(TITLE_SEPARATOR)[2])
        edges: set[str] | None = None
        for before, present in zip(self.hits, self._texts, strict=True):
            if all(word in present for word in names):
                edges = edges or _telling_words(body[:_EDGE]) | _telling_words(body[-_EDGE:])
                if all(word in present for word in edges):
                    yield before


def distinct(ranked: Iterable[Hit], count: int) -> tuple[Hit, ...]:
    """The first `count` of these that each say something of their own. Takes no more of them than it needs."""
    kept = Distinct()
    if count > 0:
        for hit in ranked:
            if kept.add(hit) and len(kept.hits) == count:
                break
    return tuple(kept.hits)


def _names(label: str) -> frozenset[str]:
    """What a heading or question in small letters names."""
    return frozenset(_WORD.findall(label)) - _NAMES_NOTHING


def _telling_words(text: str) -> set[str]:
    """Also what is left of a word that is cut at the edge: it stands in the same word elsewhere."""
    return set(_TELLING.findall(text)) - _FILLERS


def _repeats(said: _Said, before: _Said) -> bool:
    if said.letters != before.letters and (not said.speaks_for_itself or said.sentences not in before.sentences):
        return False
    return said.names.issubset(_WORD.findall(before.words))


def _said_by(hit: Hit) -> _Said:
    return _said(_label(hit), _body(hit))


def _label(hit: Hit) -> str:
    return hit.question or hit.title


def _body(hit: Hit) -> str:
    return hit.answer or hit.text


@lru_cache(maxsize=1024)
def _said(label: str, body: str) -> _Said:
    """Takes 50 µs for 500 Chinese characters, 10 µs for most rows of a FAQ."""
    label, body = label.casefold(), body.casefold()
    plain = _NO_NUMBER.sub("", _FULL_STOP.sub("\n", body.translate(_PLAIN)))
    sentences = [sentence for line in plain.split("\n") if (sentence := _telling(line))]
    letters, lines = "".join(sentences), "\n".join(sentences)
    speaks_for_itself = len(letters.encode("utf-8", "replace")) >= _SPEAKS_FOR_ITSELF
    # What stands above the last heading is mostly where a document keeps the passage.
    about = label.rpartition(TITLE_SEPARATOR)[2] if speaks_for_itself else label
    return _Said(
        sentences=f"\n{lines}\n",
        letters=letters,
        speaks_for_itself=speaks_for_itself,
        names=_names(about),
        words=f"{label}\n{body}",
    )


def _telling(sentence: str) -> str:
    words = " ".join(word for word in sentence.split() if word not in _FILLERS)
    # Blanks are a matter of taste where Chinese and Latin letters meet; between numbers they are not.
    return _BLANK.sub("", words)
