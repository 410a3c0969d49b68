"""Markdown for WeCom, in its three dialects, each in parts of so many bytes of UTF-8.

* `ai_markdown`: what AI bots show: nearly all of Markdown, tables included.
* `app_markdown`: what apps and group robots show: headings, bold, links, code in a line, quotes. No lists, tables,
  fences or images: those are laid out in words.
* `plain`: text, for WeChat's customers and for clients that show no Markdown.

WeCom knows a few tags (``<@userid>`` notifies, ``<font>``, ``<think>``, and ``<a>`` in texts). Nothing that a model or
a customer writes may become one: what looks like one gets a ``＜`` that WeCom does not know. Whether its readers of
Markdown take backslashes away again nobody has written down, so there are as few as possible.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from adapters.rendering import markdown as standard_markdown
from adapters.rendering.cutting import cut, utf8_width
from adapters.rendering.layout import Dialect, lay_out
from adapters.rendering.safe_text import clean
from adapters.rendering.tree import Kind, Mark, Span, Spans, parse, plain_text

AI_LIMIT = 20_480
"""Bytes of an AI bot's message, and of a stream's content."""
TEXT_LIMIT = 2_048
"""Bytes of an app's or a customer-service message; WeCom cuts an app's longer text without a word."""
ROBOT_LIMIT = 4_096
"""Bytes of a group robot's Markdown."""

_SPECIAL = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])"
    r"|`"
    r"|\*(?!\s)|(?<!\s)\*|^\*"
    r"|(?<![^\W_])_|_(?![^\W_])"  # snake_case is itself everywhere
    r"|~(?=~)|(?<=~)~"
    r"|\](?=\()"
    r"|&(?=#?\w{1,32};)"
    r"|^[#>=|]",
    re.MULTILINE,
)
_HARMLESS = "＜"
_ANY_TAG = re.compile(r"<(?=[/!?]?[A-Za-z@])")
_KNOWN_TAG = re.compile(r"<(?=\s*(?:@|/?\s*(?:think|font|a)\b))", re.IGNORECASE)
# A backslash with what it stands before, code with its marks, or the beginning of a tag.
_IN_MARKDOWN = re.compile(rf"\\.|(?P<marks>`+)(?!`).*?(?<!`)(?P=marks)(?!`)|{_ANY_TAG.pattern}", re.DOTALL)

_STYLED = Dialect(styled=True, table_width=0)
_WORDS = Dialect(styled=False, table_width=0)
_INDENT = re.compile(r"^ {4}", re.MULTILINE)
_LINE_START = re.compile(r"^(?:#{1,6}(?= )|>)", re.MULTILINE)
_UNSAFE_IN_URL = re.compile(r"[()<>\\\s]")


def byte_length(text: str) -> int:
    """What WeCom counts."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def ai_markdown(source: str, *, limit: int = AI_LIMIT) -> tuple[str, ...]:
    """`source` as Markdown for AI bots, in parts of at most `limit` bytes.

    Cut between blocks, list items, table rows (with the head repeated) and lines of code (the fence closed and opened
    again). Blank Markdown has no parts. Never raises for any text; a limit under 256 is a `ValueError`.
    """
    _check(limit)
    # A mark made harmless takes two bytes more than it did.
    parts = standard_markdown.render(source, limit=limit, special=_SPECIAL, measure=_defused_length)
    return tuple(map(_defused_markdown, parts))


def app_markdown(source: str, *, limit: int = TEXT_LIMIT) -> tuple[str, ...]:
    """`source` in the few forms that apps and group robots show, in parts of at most `limit` bytes.

    Cut where a reader would pause; what is bold, a link or a quote goes on as such in the next part. Blank Markdown has
    no parts. Never raises for any text; a limit under 256 is a `ValueError`.
    """
    _check(limit)
    return tuple(_written_parts(lay_out(parse(source), _STYLED), limit, limit))


def plain(source: str, *, limit: int = TEXT_LIMIT) -> tuple[str, ...]:
    """What `source` says in mere words, in parts of at most `limit` bytes: lists with their marks, tables told line by
    line, links followed by their addresses.

    Blank Markdown has no parts. Never raises for any text; a limit under 256 is a `ValueError`.
    """
    _check(limit)
    return split_bytes(defused(plain_text(lay_out(parse(source), _WORDS))), limit)


def is_plain(source: str) -> bool:
    """Whether `app_markdown` would show no more than `plain` does."""
    spans = lay_out(parse(source), _STYLED)
    return not any(mark.kind in {"bold", "code", "link", "blockquote", "pre"} for span in spans for mark in span.marks)


def split_bytes(text: str, limit: int) -> tuple[str, ...]:
    """`text` in parts of at most `limit` bytes of UTF-8, cut where a reader would pause and never inside a character.
    White space at the seams is left out. Blank text has no parts."""
    return tuple(text[start:end] for start, end in cut(text, limit, width=utf8_width))


def shortened(text: str, limit: int) -> str:
    """The beginning of `text` in at most `limit` bytes, with a mark where something is left out."""
    text = clean(text)
    if byte_length(text) <= limit:
        return text
    return next(iter(split_bytes(text, limit - 3)), "") + "…"


def defused(text: str) -> str:
    """`text` without anything that WeCom takes for a tag of its own."""
    return _KNOWN_TAG.sub(_HARMLESS, text)


def _check(limit: int) -> None:
    if limit < 256:
        raise ValueError("a part has to hold at least 256 bytes")


# AI bots


def _defused_markdown(text: str) -> str:
    def written(found: re.Match[str]) -> str:
        if found["marks"]:
            return defused(found[0])  # code may hold tags of its own
        return _HARMLESS if found[0] == "<" else found[0]

    return defused(_IN_MARKDOWN.sub(written, text))


def _defused_length(text: str) -> int:
    # The defusing of the whole may find tags that no block has alone: none is longer than every "<" made harmless.
    return byte_length(text) + 2 * text.count("<")


# Apps and group robots


@dataclass(slots=True, kw_only=True)
class _Piece:
    """A run of text with at most one style."""

    text: str
    style: Mark | None


def _written_parts(spans: Spans, limit: int, room: int) -> list[str]:
    """Each at most `limit` bytes with its marks. `room`: bytes of mere text that are tried for one part."""
    text = plain_text(spans)
    whole = _whole(spans)
    parts: list[str] = []
    for start, end in cut(text, room, whole, width=utf8_width):
        inside = _between(spans, start, end)
        written = _written(inside)
        if byte_length(written) <= limit:
            if written.strip():
                parts.append(written)
        elif room > 64:
            parts.extend(_written_parts(inside, limit, room // 2))
        else:  # an address longer than a message: the words alone
            parts.extend(split_bytes(_words(plain_text(inside)), limit))
    return parts


def _whole(spans: Spans) -> list[tuple[int, int]]:
    """What had better not be cut: the text of a link, bold words, a piece of code."""
    found: list[tuple[int, int]] = []
    position = 0
    for style, group in groupby(spans, key=_style):
        length = sum(len(span.text) for span in group)
        if style is not None and style.kind != "pre":
            found.append((position, position + length))
        position += length
    return found


def _between(spans: Spans, start: int, end: int) -> Spans:
    kept: list[Span] = []
    position = 0
    for span in spans:
        text = span.text[max(0, start - position) : max(0, end - position)]
        if text:
            kept.append(replace(span, text=text))
        position += len(span.text)
    return tuple(kept)


def _written(spans: Spans) -> str:
    written: list[str] = []
    for quoted, run in groupby(spans, key=lambda span: _has(span, "blockquote")):
        text = _run(list(run))
        written.append(re.sub("^", "> ", text, flags=re.MULTILINE) if quoted else text)
    return defused("".join(written)).strip("\n")


def _run(spans: Sequence[Span]) -> str:
    pieces: list[_Piece] = []
    for span in spans:
        style = _style(span)
        if pieces and pieces[-1].style is style:
            pieces[-1].text += span.text
        else:
            pieces.append(_Piece(text=span.text, style=style))
    return "".join(map(_piece, pieces))


def _style(span: Span) -> Mark | None:
    for kind in ("pre", "link", "code", "bold", "strikethrough"):
        for mark in span.marks:
            if mark.kind == kind:
                return mark
    return None


def _piece(piece: _Piece) -> str:
    match piece.style.kind if piece.style is not None and piece.text.strip() else "":
        case "pre":
            return "\n".join(map(_code, piece.text.split("\n")))
        case "code":
            return _code(piece.text.replace("\n", " "))
        case "link":
            assert piece.style is not None
            return _link(" ".join(piece.text.split()), piece.style.url)
        case "bold":
            return "\n".join(map(_bold, piece.text.split("\n")))
        case "strikethrough":
            return f"~{_words(piece.text)}~"
    return _words(piece.text)


def _code(line: str) -> str:
    return f"`{line}`" if line.strip() and "`" not in line else line


def _bold(line: str) -> str:
    """Bold does not cross lines, and its marks touch its words."""
    core = line.strip()
    if not core or "*" in core:
        return _words(line)
    before, _, after = line.partition(core)
    return f"{before}**{_words(core)}**{after}"


def _link(text: str, url: str) -> str:
    address = _UNSAFE_IN_URL.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), clean(url))
    return f"[{text.replace('[', '［').replace(']', '］')}]({address})"


def _words(text: str) -> str:
    """Text that this Markdown leaves as it is, as far as it can be made to."""
    text = _INDENT.sub("　", _ANY_TAG.sub(_HARMLESS, text).replace("](", "] ("))
    return _LINE_START.sub(lambda found: "".join(chr(ord(char) + 0xFEE0) for char in found[0]), text)


def _has(span: Span, kind: Kind) -> bool:
    return any(mark.kind == kind for mark in span.marks)
