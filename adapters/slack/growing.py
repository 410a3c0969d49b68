"""How much of an unfinished answer will stay as it is, and may be written into a stream.

A stream can only be added to. What is written must be the beginning of what the final answer will read, in the very
characters; so we write what the renderer makes of the part that can not change any more. Guessing too far is no
tragedy: the final text is then written over the message.
"""

from __future__ import annotations

import re

from adapters.rendering import slack as dialects
from adapters.rendering.cutting import splits_character
from adapters.slack.replies import BODY_LIMIT

_LONGEST = 8_000
"""Characters of a source; beyond it rendering every second would cost more than it gives."""
_LONGEST_PARAGRAPH = 2_000
_PATIENCE = 20
_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_ONLY_MARKERS = re.compile(r"^[ \t]*(?:>[ \t]*)*(?:#{1,6}|[-*+]|\d{1,9}[.)]?|[`~=]+)?[ \t]*$")
_HALF = re.compile(r"(?:\\|&#?\w{0,32}|<[^\s>]*|!|https?:?/?/?[^\s\u2e80-\uffef]*|`+|\*+|_+|~+|[a-z]{1,5})$")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\[[^\[\]]*\]\([^()\s]*\)")
_STAR = re.compile(r"(?<![0-9A-Za-z])\*(?=\S)|(?<=\S)\*(?![0-9A-Za-z])")
_LOW = re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?!\w)")
_EDGE = re.compile(r"\s|[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]")


def settled(source: str) -> str:
    """The beginning of `markdown(source)[0]` that later words will not change; "" where there is none yet.

    It ends before a word and never after white space: what a stream is given must not begin with any.
    """
    text = source[: _certain(source[:_LONGEST])]
    fenced = _in_fence(text)
    parts = dialects.markdown(text, limit=BODY_LIMIT)
    if not parts:
        return ""
    written = parts[0]
    if fenced and len(parts) == 1:
        written = written.rpartition("\n")[0]  # the fence that the renderer has closed
    return written[: _before_last_word(written)]


def _certain(source: str) -> int:
    """Where in the source certainty ends."""
    if _in_fence(source):
        return source.rfind("\n") + 1
    begins = max((found.end() for found in _PARAGRAPH.finditer(source)), default=0)
    tail = source[begins:]
    if len(tail) > _LONGEST_PARAGRAPH:
        return begins
    if "|" in tail:
        return begins + _table_begins(tail)
    line = tail.rfind("\n") + 1
    end = line if _ONLY_MARKERS.match(tail[line:]) else len(tail)
    return begins + _before_open_markup(tail[:end])


def _in_fence(text: str) -> bool:
    """Whether the text ends inside a block of code."""
    fence = ""
    for found in _FENCE.finditer(text):
        if not fence:
            fence = found[1]
        elif found[1].startswith(fence):
            fence = ""
    return bool(fence)


def _table_begins(tail: str) -> int:
    """The first line with a bar: whether it heads a table, the lines below it say, and how wide, the last one."""
    return tail.rfind("\n", 0, tail.index("|")) + 1


def _before_open_markup(tail: str) -> int:
    """Before the first mark that has no counterpart yet, and before anything that may be half a mark."""
    end = len(tail)
    for _ in range(_PATIENCE):
        earlier = _last_open(tail[:end])
        if earlier == end:
            return end
        end = earlier  # what was cut off may have been the counterpart of a mark before it
    return 0


def _last_open(text: str) -> int:
    end = len(_HALF.sub("", text))
    # What is closed can not change: masked, so that only open marks are left to be found.
    masked = _LINK.sub(_masked, _CODE.sub(_masked, text))
    for mark in ("**", "~~", "`"):
        if masked.count(mark) % 2:
            end = min(end, masked.rindex(mark))
    masked = masked.replace("**", "  ").replace("~~", "  ")
    for places in ([found.start() for found in pattern.finditer(masked)] for pattern in (_STAR, _LOW)):
        if len(places) % 2:
            end = min(end, places[-1])
    bracket = masked.rfind("[")
    return min(end, bracket) if bracket >= 0 else end


def _masked(found: re.Match[str]) -> str:
    return "x" * len(found[0])


def _before_last_word(text: str) -> int:
    """Where the last word (the last ideograph) begins."""
    for index in range(len(text) - 1, 0, -1):
        before, here = text[index - 1], text[index]
        if here.isspace() or not (_EDGE.match(before) or _EDGE.match(here)):
            continue
        if not splits_character(text, index) and before != "\\":
            return index
    return 0
