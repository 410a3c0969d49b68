"""A Markdown tree laid out as running text: blocks, list markers, indentation and tables, with the styles kept aside.

The Telegram form makes entities of the styles, the plain form drops them; what a reader sees line by line is the same.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from urllib.parse import urlsplit

from adapters.rendering.tree import (
    Align,
    Block,
    Blocks,
    CodeBlock,
    Heading,
    Items,
    Mark,
    Paragraph,
    Quote,
    Rule,
    Span,
    Spans,
    Table,
    plain_text,
)

# A line end, and whether the next line is empty.
_LINE_START = re.compile(r"\n(?=(\n)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a platform can show by itself."""

    styled: bool
    """Bold, links, quotes and code are shown as such; otherwise they have to be told apart by characters."""
    table_width: int
    """The widest table, in columns of a fixed-width font, that does not wrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    dialect: Dialect
    depth: int = 0
    """How many lists and quotes stand around."""


def lay_out(blocks: Blocks, dialect: Dialect) -> Spans:
    """The text of the whole, in spans; it neither begins nor ends with a line end."""
    return tuple(_blocks(blocks, _Place(dialect=dialect)))


def lay_out_inline(spans: Spans, dialect: Dialect) -> Spans:
    """One run of spans with its links resolved: a link that the platform cannot show has its address beside it."""
    return tuple(_inline(spans, _Place(dialect=dialect)))


def _blocks(blocks: Blocks, place: _Place) -> list[Span]:
    spans: list[Span] = []
    before: Block | None = None
    for block in blocks:
        laid = _block(block, place)
        if before is not None:
            spans.append(Span(text=_gap(before, block, place)))
        spans.extend(laid)
        before = block
    return spans


def _gap(before: Block, after: Block, place: _Place) -> str:
    # A chat window is small: what belongs together stands together.
    tight = isinstance(before, Heading) or (isinstance(before, Paragraph) and isinstance(after, Items))
    return "\n" if tight or place.depth > 0 else "\n\n"


def _block(block: Block, place: _Place) -> list[Span]:
    match block:
        case Paragraph():
            return _inline(block.spans, place)
        case Heading():
            bold = Mark(kind="bold")
            inner = (replace(span, marks=_without(span.marks, "bold")) for span in block.spans)
            return [replace(span, marks=(bold, *span.marks)) for span in _inline(tuple(inner), place)]
        case CodeBlock():
            return [Span(text=block.text, marks=(Mark(kind="pre", language=block.language),))]
        case Rule():
            return [Span(text="———")]
        case Quote():
            return _quote(block, place)
        case Items():
            return _items(block, place)
        case Table():
            return _table(block, place)


def _quote(block: Quote, place: _Place) -> list[Span]:
    inner = _blocks(block.blocks, replace(place, depth=place.depth + 1))
    if place.dialect.styled and place.depth == 0:
        quote = Mark(kind="blockquote")
        return [replace(span, marks=(quote, *span.marks)) for span in inner]
    return [Span(text="> "), *_indented(inner, "> ", place)]


def _items(block: Items, place: _Place) -> list[Span]:
    spans: list[Span] = []
    for number, item in enumerate(block.items, block.start or 0):
        marker = "• " if block.start is None else f"{number}. "
        # Spaces of a proportional font are narrow: four of them are about as wide as a marker.
        indent = "    " if place.dialect.styled else " " * len(marker)
        if spans:
            spans.append(Span(text="\n"))
        spans.append(Span(text=marker))
        spans.extend(_indented(_blocks(item, replace(place, depth=place.depth + 1)), indent, place))
    return spans


def _indented(spans: Sequence[Span], prefix: str, place: _Place) -> list[Span]:
    """`prefix` before every line but the first; code in a styled dialect stands in a box of its own, at the margin."""
    indented: list[Span] = []
    for index, span in enumerate(spans):
        follows = spans[index + 1] if index + 1 < len(spans) else None
        if place.dialect.styled and _is_code(span):
            indented.append(span)
            continue
        text = _LINE_START.sub(lambda found: "\n" + (prefix.rstrip() if found[1] else prefix), span.text)
        if place.dialect.styled and span.text.endswith("\n") and follows is not None and _is_code(follows):
            text = text.removesuffix(prefix)
        indented.append(replace(span, text=text))
    return indented


def _is_code(span: Span) -> bool:
    return any(mark.kind == "pre" for mark in span.marks)


def _without(marks: Iterable[Mark], kind: str) -> tuple[Mark, ...]:
    return tuple(mark for mark in marks if mark.kind != kind)


# Links


def _inline(spans: Spans, place: _Place) -> list[Span]:
    laid: list[Span] = []
    for link, group in groupby(spans, key=_link_of):
        run = list(group)
        if link is None:
            laid.extend(_characters(span, place) for span in run)
        else:
            laid.extend(_linked(run, link, place))
    return laid


def _link_of(span: Span) -> Mark | None:
    return next((mark for mark in span.marks if mark.kind == "link"), None)


def _characters(span: Span, place: _Place) -> Span:
    # Without the line through it, a former price would read as the price.
    if not place.dialect.styled and any(mark.kind == "strikethrough" for mark in span.marks):
        return replace(span, text=f"~{span.text}~")
    return span


def _linked(run: list[Span], link: Mark, place: _Place) -> list[Span]:
    """A link's text, as a link where the platform has them and the text does not pretend to lead elsewhere.

    Telegram makes a link of an address, a mail address and a phone number by itself, and of web addresses only when we
    ask it to: a hidden mail address would be lost.
    """
    text = plain_text(run).strip()
    bare = [_characters(replace(span, marks=_without(span.marks, "link")), place) for span in run]
    scheme, _, rest = link.url.partition(":")
    target = link.url if scheme.lower().startswith("http") else rest.partition("?")[0]
    if _same_address(text, target):
        return bare
    if place.dialect.styled and target is link.url and not _pretends(text, link.url):
        return run
    return [*bare, Span(text=f" ({target})" if text else target)]


def _same_address(text: str, target: str) -> bool:
    def bare(address: str) -> str:
        return address.lower().removeprefix("https://").removeprefix("http://").rstrip("/")

    return bare(text) == bare(target)


def _pretends(text: str, url: str) -> bool:
    """Whether the text is itself an address, on another host than the one the link leads to."""
    if any(char.isspace() for char in text) or "." not in text:
        return False
    shown = _host(text if "://" in text else f"https://{text}")
    return "." in shown and shown.isascii() and shown.removeprefix("www.") != _host(url).removeprefix("www.")


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


# Tables


def _table(block: Table, place: _Place) -> list[Span]:
    cells = [[plain_text(cell).replace("\n", " ") for cell in row] for row in (block.header, *block.rows)]
    widths = [max(display_width(row[column]) for row in cells) for column in range(len(block.header))]
    linked = any(_link_of(span) for row in block.rows for cell in row for span in cell)
    if sum(widths) + 3 * (len(widths) - 1) <= place.dialect.table_width and not linked:
        lines = [" | ".join(map(_padded, row, widths, block.align)).rstrip() for row in cells]
        lines.insert(1, "-+-".join("-" * width for width in widths))
        return [Span(text="\n".join(lines), marks=(Mark(kind="pre"),))]
    return _listed(block, place)


def _padded(text: str, width: int, align: Align) -> str:
    room = width - display_width(text)
    left = {"left": 0, "right": room, "center": room // 2}[align]
    return " " * left + text + " " * (room - left)


def _listed(block: Table, place: _Place) -> list[Span]:
    """One "key: value" line a cell, an empty line between rows: what a narrow screen can show of a wide table."""
    if not block.rows:
        return _joined([_inline(cell, place) for cell in block.header if cell], ", ")
    rows: list[list[Span]] = []
    for row in block.rows:
        lines: list[list[Span]] = []
        for key, value in zip(block.header, row, strict=True):
            if not value:
                continue
            name = plain_text(key).replace("\n", " ")
            colon = "" if not name else "：" if display_width(name[-1]) == 2 else ": "
            lines.append([*([Span(text=name + colon)] if name else []), *_inline(value, place)])
        if lines:
            rows.append(_joined(lines, "\n"))
    return _joined(rows, "\n\n") if rows else _joined([_inline(cell, place) for cell in block.header if cell], ", ")


def _joined(runs: Sequence[Sequence[Span]], separator: str) -> list[Span]:
    joined: list[Span] = []
    for run in runs:
        if joined:
            joined.append(Span(text=separator))
        joined.extend(run)
    return joined


def display_width(text: str) -> int:
    """How many columns of a fixed-width font the text takes: two for ideographs and emoji, none for accents."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if char == "\u200d" or "\ufe00" <= char <= "\ufe0f" or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
