"""Where a long text is cut: at a paragraph, a line, a sentence, a clause, a word, and only then inside a word."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

Range = tuple[int, int]
"""A half-open range of code points."""

_CJK = "\u2e80-\u312f\u31a0-\u31bf\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef"
_CLOSERS = "”’\"')\\]）」』】》〉"

# (how a place looks, how full a part has to be for a cut there). A cut falls after the match. The fuller a part has to
# be, the more we would rather go on to a lesser place than send many short messages.
_PLACES: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\n[ \t]*\n+"), 0.4),
    (re.compile(r"\n+"), 0.4),
    (re.compile(rf"[。！？!?…]+[{_CLOSERS}]*|\.+[{_CLOSERS}]*(?=\s)"), 0.3),
    (re.compile(rf"[，、；：;][{_CLOSERS}]*|[,:](?=\s)"), 0.3),
    # Between two ideographs is the end of a word, but a line begins with no closing and ends with no opening mark.
    (re.compile(rf"\s+|[{_CJK}](?<![（「『【《〈])(?=[{_CJK}])(?![，。！？、；：）」』】》〉…])"), 0.0),
)
_URL = re.compile(r"https?://[^\s\u2e80-\u9fff\uff00-\uffef]+", re.IGNORECASE)
_LOOK_BACK = 64
_REGIONAL = ("\U0001f1e6", "\U0001f1ff")
_SKIN_TONE = ("\U0001f3fb", "\U0001f3ff")


def utf16_width(char: str) -> int:
    """UTF-16 code units of one character."""
    return 2 if char > "\uffff" else 1


def utf8_width(char: str) -> int:
    """Bytes of one character in UTF-8."""
    return 1 if char < "\x80" else 2 if char < "\u0800" else 3 if char < "\U00010000" else 4


def cut(
    text: str, limit: int, atoms: Iterable[Range] = (), *, width: Callable[[str], int] = utf16_width
) -> list[Range]:
    """Cuts `text` into ranges of at most `limit` UTF-16 code units that together hold all but white space.

    `atoms` are ranges (properly nested or apart) that stay whole while they fit into one part; addresses of web
    pages are kept whole as well. An atom over the limit is continued in the next part. White space around a cut is
    left out, but for the indentation of the line that begins the next part.
    `width` measures in something else, such as bytes; an ASCII character has the width 1 in all of them.
    Time is linear in the text. Raises `ValueError` for a limit under the width of the widest character.
    """
    if limit < width("\U0010ffff"):
        raise ValueError("a part has to hold at least one character of the widest kind")
    units = _offsets(text, width)
    whole = _whole_ranges(text, units, limit, atoms)
    parts: list[Range] = []
    start = _skip_blank(text, 0)
    while start < len(text):
        last = bisect_right(units, units[start] + limit) - 1
        end = len(text) if last >= len(text) else _best_cut(text, start, last, whole)
        stop = start + len(text[start:end].rstrip())
        if stop > start:
            parts.append((start, stop))
        start = _skip_blank(text, end)
    return parts


def _offsets(text: str, width: Callable[[str], int]) -> Sequence[int]:
    """The unit at which each code point begins, and the length of the whole as the last one."""
    if text.isascii():
        return range(len(text) + 1)
    return list(accumulate(map(width, text), initial=0))


def _whole_ranges(text: str, units: Sequence[int], limit: int, atoms: Iterable[Range]) -> list[Range]:
    """Ranges that fit into a part and must not be cut, in order and apart from one another."""

    def fits(first: int, last: int) -> bool:
        return units[last] - units[first] <= limit

    whole: list[Range] = []
    for first, last in sorted({atom for atom in atoms if fits(*atom)}, key=lambda atom: (atom[0], -atom[1])):
        if not whole or first >= whole[-1][1]:
            whole.append((first, last))
    for found in _URL.finditer(text):
        # What an address overlaps is kept together with it, if that still fits.
        low = bisect_right(whole, found.start(), key=lambda kept: kept[1])
        high = bisect_left(whole, found.end(), key=lambda kept: kept[0])
        first = min(found.start(), whole[low][0]) if low < high else found.start()
        last = max(found.end(), whole[high - 1][1]) if low < high else found.end()
        if fits(first, last):
            whole[low:high] = [(first, last)]
    return whole


def _best_cut(text: str, start: int, last: int, whole: list[Range]) -> int:
    """The end of the part that begins at `start` and can reach up to `last`."""
    kept = _range_around(whole, last)
    if kept is not None and kept[0] > start:
        last = kept[0]
    for place, fullness in _PLACES:
        found = _last_place(place, text, start + int((last - start) * fullness), last, whole)
        if found > start:
            return found
    if kept is not None and last == kept[0] > start:
        return last
    for end in range(last, max(start, last - _LOOK_BACK), -1):
        if not splits_character(text, end) and _range_around(whole, end) is None:
            return end
    return max(last, start + 1)


def _last_place(place: re.Pattern[str], text: str, low: int, high: int, whole: list[Range]) -> int:
    """The last cut of this kind in (`low`, `high`] that leaves every whole range whole, or -1."""
    best = -1
    # One character more, so that a place that needs to see what follows it can.
    for found in place.finditer(text, low, min(high + 1, len(text))):
        end = min(found.end(), high)
        if end > low and found.start() < high and _range_around(whole, end) is None:
            best = end
    return best


def _range_around(whole: list[Range], index: int) -> Range | None:
    """The whole range that a cut before `index` would tear."""
    position = bisect_right(whole, (index,)) - 1
    if position >= 0 and whole[position][0] < index < whole[position][1]:
        return whole[position]
    return None


def _skip_blank(text: str, start: int) -> int:
    """Past the white space at `start`, but before the indentation of the line that follows it."""
    end = start
    while end < len(text) and text[end].isspace():
        end += 1
    line = text.rfind("\n", start, end) + 1
    return line if line and end < len(text) else end


def splits_character(text: str, index: int) -> bool:
    """Whether a cut before `text[index]` would tear something that a reader sees as one character.

    An approximation of Unicode's grapheme clusters that needs no tables: accents, joined emoji, skin tones, flags.
    """
    if not 0 < index < len(text):
        return False
    before, after = text[index - 1], text[index]
    if before.isascii() and after.isascii():
        return False
    if after == "\u200d" or before == "\u200d" or _SKIN_TONE[0] <= after <= _SKIN_TONE[1]:
        return True
    if unicodedata.category(after) in {"Mn", "Me", "Mc"} or "\U000e0020" <= after <= "\U000e007f":
        return True
    if not (_is_regional(before) and _is_regional(after)):
        return False
    # A flag is two letters: the cut is inside one when an odd number of letters stands before it.
    first = index
    while first > max(0, index - _LOOK_BACK) and _is_regional(text[first - 1]):
        first -= 1
    return (index - first) % 2 == 1


def _is_regional(char: str) -> bool:
    return _REGIONAL[0] <= char <= _REGIONAL[1]
