"""Synonyms and product words: what customers say, and what the knowledge calls it.

A small UTF-8 file that people of the company edit. One group a line, separated by commas (Chinese ones too); the first
is the word that the knowledge uses, the others are what customers may say for it; `#` begins a comment:

    # 客户怎么说，资料里怎么写
    退货, 退回去, 寄回
    iPhone 15 Pro Max, 15PM, 苹果15大
    coupon, voucher, promo code

A question that holds one of the others is searched for in the knowledge's own words. Adding all words of a group
instead was measured and is worse: every one that the knowledge does not use finds something else.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from knowledge.values import Problem

MOST_BYTES = 1024 * 1024
_MOST_LETTERS = 64
_SEPARATOR = re.compile("[,，、]")
# A letter or digit of a script that has blanks between its words.
_LETTER = re.compile("[^\\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_PLURAL = re.compile("e?s")
# Full-width letters and digits. Not the marks: an embedder may read those it knows otherwise.
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF10, 0xFF5B) if chr(wide).isalnum()}
_COMMENT = re.compile(r"(?:^|\s)#")  # not the one of C#


@dataclass(frozen=True, slots=True)
class Synonyms:
    """What one file says. Made by `parse`."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Every word that the file has, folded, and the knowledge's own word for it."""

    digest: str = ""
    """Another one where what is said is another; "" for nothing."""

    _by_beginning: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The words by their first two characters, the longest first."""

    @property
    def groups(self) -> int:
        """How many."""
        return len(set(self.own.values()))

    def rewritten(self, question: str) -> str:
        """The question in the knowledge's own words; itself where it holds none of the others. Takes microseconds,
        however long the file is."""
        if not self.own:
            return question
        plain = question.translate(_NARROW)
        folded = _folded(plain)
        pieces: list[str] = []
        done = at = 0
        while at < len(folded) - 1:
            word, end = self._word_at(folded, at)
            # The knowledge's own words are found, too: "券券" is not in "优惠券券".
            if word and _folded(self.own[word]) != word:
                pieces += plain[done:at], self.own[word]
                done = end
            at = end
        return "".join((*pieces, plain[done:])) if pieces else question

    def _word_at(self, text: str, at: int) -> tuple[str, int]:
        """The longest word that begins here and where it ends; "" and the next place where none does."""
        for word in self._by_beginning.get(text[at : at + 2], ()):
            end = at + len(word)
            if text.startswith(word, at) and (end := _end_of_word(text, at, end)):
                return word, end
        return "", at + 1


NOTHING = Synonyms()


def parse(data: bytes, name: str) -> tuple[Synonyms, tuple[Problem, ...]]:
    """What a file says, and what is wrong with it; with anything wrong, NOTHING."""
    if len(data) > MOST_BYTES:
        return NOTHING, (Problem(path=name, line=None, reason="is larger than 1 MB"),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return NOTHING, (Problem(path=name, line=data.count(b"\n", 0, error.start) + 1, reason="is not UTF-8"),)
    own: dict[str, str] = {}
    places: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [" ".join(word.split()) for word in _SEPARATOR.split(_COMMENT.split(line, maxsplit=1)[0])]
        if words == [""]:
            continue
        wrong = next(_mistakes(words, places), None)
        if wrong is not None:
            problems.append(Problem(path=name, line=number, reason=wrong))
            continue
        for word in words:
            own[_folded(word)], places[_folded(word)] = words[0], number
    if problems or not own:
        return NOTHING, tuple(problems)
    digest = hashlib.sha256("\n".join(f"{word}\t{own[word]}" for word in sorted(own)).encode()).hexdigest()[:16]
    return Synonyms(own, digest, _by_beginning(own)), ()


def _mistakes(words: list[str], places: Mapping[str, int]) -> Iterator[str]:
    if "" in words:
        yield "has a comma with no word beside it"
    if len(words) == 1:
        yield f"{words[0]!r} stands alone; write what customers say for it behind it, with commas between"
    seen: set[str] = set()
    for word in words:
        folded = _folded(word)
        if len(word) > _MOST_LETTERS:
            yield f"a word is longer than {_MOST_LETTERS} letters"
        if len(word) == 1:
            yield f"{word!r} is one character, which stands inside other words; write more of what customers say"
        if not re.search(r"[^\W_]", word):
            yield f"{word!r} has no letter"
        if folded in places:
            yield f"{word!r} is in line {places[folded]} already"
        if folded in seen:
            yield f"{word!r} is there twice"
        seen.add(folded)


def _folded(word: str) -> str:
    """In one case; as long as it was."""
    narrow = word.translate(_NARROW)
    folded = narrow.lower()
    return folded if len(folded) == len(narrow) else narrow


def _by_beginning(words: Iterable[str]) -> dict[str, list[str]]:
    beginnings: dict[str, list[str]] = {}
    for word in sorted(words, key=lambda word: (-len(word), word)):
        beginnings.setdefault(word[:2], []).append(word)
    return beginnings


def _end_of_word(text: str, start: int, end: int) -> int:
    """Where a word that stands there ends, with its plural; 0 where it is part of a longer one."""
    if _LETTER.match(text, start) and start and _LETTER.match(text, start - 1):
        return 0
    if not _LETTER.match(text, end - 1):
        return end
    plural = _PLURAL.match(text, end) if end - start > 2 and text[end - 1].isascii() else None
    ends = [plural.end(), end] if plural else [end]
    return next((end for end in ends if not _LETTER.match(text, end)), 0)
