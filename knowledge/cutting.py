"""The blocks of a section to the texts of its passages: few, none longer than it may be, cut where it does least harm.

Sizes are measured once for each paragraph, list item or row, and added up; only what is too long is measured again, in
its sentences. A URL, an address, a telephone number and a table row stay whole, unless nobody would read them.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

LONGEST = 20_000
"""Characters: what is longer is cut wherever that is. Such a line or row is of a program, for programs."""

Measure = Callable[[Sequence[str]], Sequence[int]]
"""The tokens of each of several texts. The empty text has none, and a text about as many as its parts together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """Sizes in the tokens of whoever measures."""

    target: int = 200
    """A passage is closed once it has this many."""

    maximum: int = 320
    """No passage has more, but for a single table row, line of code, URL or address that does (see LONGEST). An average
    over more blurs, and costs a core half a millisecond a token (e5)."""

    overlap: int = 0
    """A sentence of up to so many is said again where a passage goes on in the next one of its section."""

    @classmethod
    def within(cls, window: int) -> "ChunkLimits":
        """For a model that reads so many tokens at once: a passage and the headings above it have to fit."""
        usual = cls()
        maximum = max(8, min(usual.maximum, window * 2 // 3))
        return cls(target=maximum * usual.target // usual.maximum, maximum=maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, list, table or code block, and where it may be cut."""

    units: tuple[str, ...]
    """Pieces that stay whole where they fit; joined by `glue` they are the block."""

    glue: str = "\n"
    head: str = ""
    """Repeated at the top of every part: a table's header, a code fence's opening."""

    tail: str = ""
    prose: bool = True
    """Whether a unit that is too long may be cut at sentences."""


@dataclass(frozen=True, slots=True)
class _Sized:
    text: str
    size: int
    glue: str = ""
    """What joins it to the one before it."""


def pack(blocks: Sequence[Block], limits: ChunkLimits, measure: Measure) -> Iterator[str]:
    """The section's blocks as few texts of at most the maximum, closed past the target."""
    for text in _packed(blocks, limits, measure):
        for start in range(0, len(text), LONGEST):
            part = text[start : start + LONGEST]
            if part.strip():
                yield part


def _packed(blocks: Sequence[Block], limits: ChunkLimits, measure: Measure) -> Iterator[str]:
    text, size = "", 0
    for block in blocks:
        for part in _parts(block, limits, measure):
            if text and (size >= limits.target or size + part.size > limits.maximum):
                yield text
                text, size = _lead_in(text, part, limits, measure) if block.prose else ("", 0)
            text = f"{text}{part.glue}{part.text}" if text else part.text
            size += part.size
    if text:
        yield text


def _lead_in(before: str, part: _Sized, limits: ChunkLimits, measure: Measure) -> tuple[str, int]:
    """The last sentence of what comes before, where there is room for it and it is short."""
    if not limits.overlap:
        return "", 0
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(before, 0, len(before.rstrip()) - 1))]
    sentence = before[ends[-1] :]
    (size,) = measure([sentence])
    fits = size <= limits.overlap and size + part.size <= limits.maximum
    return (sentence, size) if fits else ("", 0)


def _parts(block: Block, limits: ChunkLimits, measure: Measure) -> Iterator[_Sized]:
    """The block whole where it fits, else in parts, each with the block's head and tail."""
    frame, *sizes = measure([block.head + block.tail, *block.units])
    if frame + sum(sizes) <= limits.maximum:
        yield _Sized(block.head + block.glue.join(block.units) + block.tail, frame + sum(sizes), "\n\n")
        return
    room = max(1, limits.maximum - frame - (limits.overlap if block.prose else 0))
    units: list[_Sized] = []
    for unit, size in zip(block.units, sizes, strict=True):
        if block.prose and size > room:
            first, *rest = _cut_prose(unit, room, measure)
            units += [_Sized(first.text, first.size, block.glue), *rest]
        else:
            units.append(_Sized(unit, size, block.glue))
    for number, joined in enumerate(_join(units, room)):
        text = block.head + joined.text.strip("\n") + block.tail
        yield _Sized(text, frame + joined.size, joined.glue if number else "\n\n")


def _join(units: Iterable[_Sized], room: int) -> Iterator[_Sized]:
    """Neighbours put together while they fit."""
    joined: _Sized | None = None
    for unit in units:
        if joined is None:
            joined = unit
        elif joined.size + unit.size > room:
            yield joined
            joined = unit
        else:
            joined = _Sized(joined.text + unit.glue + unit.text, joined.size + unit.size, joined.glue)
    if joined is not None:
        yield joined


# Sentence ends with the closing quotes and brackets that belong to them; the English full stop only
# before a space, so that 3.5 and example.com stay whole.
_SENTENCE_END = re.compile(r"""(?:[。！？；!?…]+|\.(?=["'”’)\]]*\s))["'”’』」）)\]]*[ \t]*|\n""")
_CLAUSE_END = re.compile(r"[，、：,;:]+[ \t]*|[ \t]+")

# Every repetition has a bound: an unbounded one over a run of Chinese without stops is quadratic.
_WHOLE = re.compile(
    r"""!?\[[^\]\n]{0,300}\]\([^)\s]{0,2000}\)"""  # a Markdown link
    r"""|(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s<>"'，。；！？、（）【】《》「」]{1,2000}"""
    r"""|[a-z0-9._+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+"""
    # A telephone or order number: groups of digits, however they are set apart, and an extension.
    r"""|[(（]{0,2}[+＋]?[(（]?\d+(?:[- \u00a0./()（）‐‑‒–—－~]{1,3}\d+){0,11}"""
    r"""(?: ?(?:ext\.?|x|转|分机|#) ?\d{1,6})?""",
    re.IGNORECASE,
)


def _cut_prose(text: str, room: int, measure: Measure) -> list[_Sized]:
    """`text` in pieces of at most `room` tokens: at sentence ends, else clauses, else anywhere
    that is not inside a URL, an address or a number. Joined without glue they are `text` again."""
    whole = [match.span() for match in _WHOLE.finditer(text)]
    starts = [start for start, _ in whole]

    def allowed(position: int) -> bool:
        before = bisect_left(starts, position) - 1
        return before < 0 or position >= whole[before][1]

    def cut(start: int, end: int, ends: re.Pattern[str]) -> list[tuple[int, int]]:
        places = (match.end() for match in ends.finditer(text, start, end))
        return list(_spans(start, end, filter(allowed, places)))

    def sized(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
        for (start, end), size in zip(spans, measure([text[a:b] for a, b in spans]), strict=True):
            yield start, end, size

    def shortened(start: int, end: int, size: int) -> Iterator[_Sized]:
        """A run without stops, in equal parts as far as may be."""
        step = max(1, (end - start) // -(-size // room))
        parts = list(_spans(start, end, _steps(start, end, step, allowed)))
        for a, b, part in sized(parts) if len(parts) > 1 else ():
            yield from [_Sized(text[a:b], part)] if part <= room else shortened(a, b, part)
        if len(parts) == 1:
            yield _Sized(text[start:end], size)

    pieces: list[_Sized] = []
    for start, end, size in sized(cut(0, len(text), _SENTENCE_END)):
        if size <= room:
            pieces.append(_Sized(text[start:end], size))
            continue
        for a, b, clause in sized(cut(start, end, _CLAUSE_END)):
            pieces += [_Sized(text[a:b], clause)] if clause <= room else shortened(a, b, clause)
    return list(_join(pieces, room))


def _steps(start: int, end: int, step: int, allowed: Callable[[int], bool]) -> Iterator[int]:
    """Places about `step` apart where one may cut: before it where that can be, else after it."""
    while end - start > step:
        before = next((place for place in range(start + step, start, -1) if allowed(place)), None)
        start = before or next((place for place in range(start + step, end) if allowed(place)), end)
        yield start


def _spans(start: int, end: int, cuts: Iterable[int]) -> Iterator[tuple[int, int]]:
    for cut in cuts:
        if start < cut < end:
            yield start, cut
            start = cut
    if start < end:
        yield start, end
