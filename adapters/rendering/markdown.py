"""Markdown as Markdown that is safe to hand on: for platforms that read it themselves, as Telegram's rich messages do.

Written anew from the tree, so whatever the model wrote, the result holds only what we mean: no raw HTML, no images,
no formulas, footnotes or other extensions of a platform, no link of a forbidden scheme. Emphasis is written so that a
strict reader of CommonMark sees it, also between ideographs.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from adapters.rendering.cutting import cut
from adapters.rendering.layout import Dialect, lay_out, lay_out_inline
from adapters.rendering.safe_text import utf16_length
from adapters.rendering.tree import (
    Block,
    Blocks,
    CodeBlock,
    Heading,
    Items,
    Kind,
    Paragraph,
    Quote,
    Rule,
    Span,
    Spans,
    Table,
    parse,
    plain_text,
)

RICH_LIMIT = 32_768
"""The longest rich message of Telegram (Bot API 10.1), in characters; we count UTF-16 units, which are no fewer."""
BLOCK_LIMIT = 500
"""The most blocks of a rich message, nested ones included."""
COLUMN_LIMIT = 20
"""The most columns of a table in a rich message."""
_DEPTH_LIMIT = 6  # of 16 levels, where a list and its item may count as two and the text inside as one more

_DIALECT = Dialect(styled=True, table_width=0)
_MARKERS: dict[Kind, str] = {"bold": "**", "italic": "*", "strikethrough": "~~"}
_SPECIAL = re.compile(r"[\\`*_~|\[\]<>#=!$^&{}]")
_LINE_START = re.compile(r"^(?:([-+](?=[-\s]|$)|:)|(\d{1,9})(?=[.)](?:\s|$)))", re.MULTILINE)
_URL = re.compile(r"https?://[^\s\u2e80-\u9fff\uff00-\uffef]*[0-9A-Za-z/]", re.IGNORECASE)
_UNSAFE_IN_URL = re.compile(r"[()<>\\\s]")
_LINE_END = re.compile(r"\s*\n\s*")
_FENCE_ROOM = 100  # below this, what is around a text matters more than the text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in a text something is written, and for whom."""

    special: re.Pattern[str] = _SPECIAL
    """What the reader takes for markup and so needs a backslash: every platform's Markdown has its own."""
    depth: int = 0
    """How many lists and quotes stand around."""


def render(
    markdown: str,
    *,
    limit: int = RICH_LIMIT,
    special: re.Pattern[str] = _SPECIAL,
    measure: Callable[[str], int] = utf16_length,
) -> tuple[str, ...]:
    """`markdown`, sanitised, in parts of at most `limit` UTF-16 code units, 500 blocks and 20 table columns.

    Cut between blocks, list items, table rows (with the head repeated) and lines of code (the fence closed and opened
    again). Blank Markdown has no parts. Never raises for any text. `special` matches what gets a backslash;
    `measure` says how long a text is, where that is not in UTF-16 code units.
    """
    place = _Place(special=special)
    parts: list[list[Block]] = []
    size = count = 0
    waiting = list(reversed(parse(markdown)))
    while waiting:
        block = waiting.pop()
        length, weight = measure(_block(block, place)), _weight(block)
        if length > limit or weight > BLOCK_LIMIT:
            waiting.extend(reversed(_divided(block)))
            continue
        # Two line ends between blocks, and a list after a list may need another marker: never longer.
        if not parts or size + 2 + length > limit or count + weight > BLOCK_LIMIT:
            parts.append([])
            size, count = -2, 0
        parts[-1].append(block)
        size, count = size + 2 + length, count + weight
    return tuple(text for part in parts if (text := _blocks(tuple(part), place)))


# Blocks


def _blocks(blocks: Blocks, place: _Place) -> str:
    written: list[str] = []
    alternate = False
    before: Block | None = None
    for block in blocks:
        # Two lists in a row are told apart by their markers.
        alternate = _same_kind_of_list(before, block) and not alternate
        text = _items(block, place, alternate) if isinstance(block, Items) else _block(block, place)
        if not text:
            continue
        if written:
            tight = (
                place.depth > 0
                and isinstance(before, Paragraph)
                and isinstance(block, Items)
                and block.start in {None, 1}
            )
            written.append("\n" if tight else "\n\n")
        written.append(text)
        before = block
    return "".join(written)


def _same_kind_of_list(before: Block | None, block: Block) -> bool:
    return isinstance(before, Items) and isinstance(block, Items) and (before.start is None) == (block.start is None)


def _block(block: Block, place: _Place) -> str:
    if place.depth >= _DEPTH_LIMIT and isinstance(block, Quote | Items):
        return _inline(lay_out((block,), _DIALECT), place)
    match block:
        case Paragraph():
            return _inline(block.spans, place)
        case Heading():
            return "#" * block.level + " " + _inline(_on_one_line(block.spans), place)
        case CodeBlock():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            return f"{fence}{block.language}\n{block.text}\n{fence}"
        case Rule():
            return "---"
        case Quote():
            inner = _blocks(block.blocks, replace(place, depth=place.depth + 1))
            return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        case Items():
            return _items(block, place, alternate=False)
        case Table():
            return _table(block, place)


def _items(block: Items, place: _Place, alternate: bool) -> str:
    if place.depth >= _DEPTH_LIMIT:
        return _block(block, place)
    lines: list[str] = []
    for number, item in enumerate(block.items, block.start or 0):
        bullet = "*" if alternate else "-"
        marker = f"{bullet} " if block.start is None else f"{number}{')' if alternate else '.'} "
        first, *rest = (_blocks(item, replace(place, depth=place.depth + 1)) or "").split("\n")
        lines.append((marker + first).rstrip())
        lines.extend((" " * len(marker) + line).rstrip() for line in rest)
    return "\n".join(lines)


def _table(block: Table, place: _Place) -> str:
    if len(block.header) > COLUMN_LIMIT:
        return _inline(lay_out((block,), _DIALECT), place)
    rule = {"left": "---", "center": ":-:", "right": "--:"}
    rows = [[_cell(cell, place) for cell in row] for row in (block.header, *block.rows)]
    rows.insert(1, [rule[align] for align in block.align])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(spans: Spans, place: _Place) -> str:
    # In code, too, a bar would end the cell; everywhere else it has its backslash already.
    return re.sub(r"(?<!\\)\|", r"\\|", _inline(_on_one_line(spans), place))


def _on_one_line(spans: Spans) -> Spans:
    return tuple(replace(span, text=span.text.replace("\n", " ")) for span in spans)


# Text


@dataclass(slots=True, kw_only=True)
class _Piece:
    """A run of text with at most one style: nested and touching emphasis is read differently by different parsers."""

    text: str
    style: Kind | None
    url: str


def _inline(spans: Spans, place: _Place) -> str:
    pieces = _pieces(lay_out_inline(spans, _DIALECT))
    written = ""
    for index, piece in enumerate(pieces):
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        opens = piece.url and (index == 0 or pieces[index - 1].url != piece.url)
        closes = piece.url and (following is None or following.url != piece.url)
        if closes:
            after = "]"
        elif following is None:
            after = " "
        else:
            after = following.text[0] if following.url == piece.url else "["
        written += "[" if opens else ""
        written += _written(piece, written[-1:] or " ", after, place)
        written += f"]({_UNSAFE_IN_URL.sub(_percent, piece.url)})" if closes else ""
    # Two spaces make a line end a line end for every reader of Markdown.
    return _LINE_END.sub("  \n", _LINE_START.sub(_literal_start, _LINE_END.sub("\n", written.strip())))


def _pieces(spans: Spans) -> list[_Piece]:
    pieces: list[_Piece] = []

    def add(text: str, style: Kind | None, url: str) -> None:
        last = pieces[-1] if pieces else None
        if last is not None and (last.style, last.url) == (style, url):
            last.text += text
        elif text:
            touching = last is not None and last.style in _MARKERS and style in _MARKERS
            pieces.append(_Piece(text=text, style=None if touching else style, url=url))

    for span in spans:
        link = next((mark.url for mark in span.marks if mark.kind == "link"), "")
        kinds = [mark.kind for mark in span.marks]
        style = "code" if "code" in kinds else next((kind for kind in kinds if kind in _MARKERS), None)
        if link or style == "code":
            add(span.text, style, link)
            continue
        # A bare address becomes a link to itself: the backslashes that its text needs would break it otherwise.
        position = 0
        for found in _URL.finditer(span.text):
            add(span.text[position : found.start()], style, "")
            add(found[0], None, found[0])
            position = found.end()
        add(span.text[position:], style, "")
    return pieces


def _written(piece: _Piece, before: str, after: str, place: _Place) -> str:
    if piece.style is None:
        return _escaped(piece.text, place)
    if piece.style == "code":
        return _code(piece.text)
    start, end = _emphasis(piece.text, before, after)
    if start >= end:
        return _escaped(piece.text, place)
    marker = _MARKERS[piece.style]
    core = _escaped(piece.text[start:end], place)
    return _escaped(piece.text[:start], place) + marker + core + marker + _escaped(piece.text[end:], place)


def _emphasis(text: str, before: str, after: str) -> tuple[int, int]:
    """Which stretch of `text` can stand between marks of emphasis, given the characters around it.

    A mark beside a letter has to have a letter on its inner side too, or CommonMark takes it for an asterisk: the colon
    of ``**重点：**后文`` is moved out.
    """
    start, end = 0, len(text)
    while start < end and not _can_stand_inside(text[start], text[start - 1] if start else before):
        start += 1
    while start < end and not _can_stand_inside(text[end - 1], text[end] if end < len(text) else after):
        end -= 1
    return start, end


def _can_stand_inside(inner: str, outer: str) -> bool:
    if inner.isspace():
        return False
    # Versions of CommonMark differ on symbols such as emoji: they count as what makes it harder.
    letter_inside = unicodedata.category(inner)[0] not in "PS"
    letter_outside = not outer.isspace() and outer not in string.punctuation and unicodedata.category(outer)[0] != "P"
    return letter_inside or not letter_outside


def _escaped(text: str, place: _Place) -> str:
    return place.special.sub(r"\\\g<0>", text)


def _code(text: str) -> str:
    text = text.replace("\n", " ")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text[:1] in "` " or text[-1:] in "` " else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _literal_start(found: re.Match[str]) -> str:
    return f"{found[2]}\\" if found[2] else f"\\{found[1]}"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


# What is too long


def _weight(block: Block) -> int:
    match block:
        case Quote():
            return 1 + sum(map(_weight, block.blocks))
        case Items():
            return 1 + sum(1 + sum(map(_weight, item)) for item in block.items)
        case Table():
            return 2 + len(block.rows)
        case _:
            return 1


def _divided(block: Block) -> Sequence[Block]:
    """The same in smaller blocks; again and again divided, any text ends as paragraphs of a few characters."""
    match block:
        case Items() if len(block.items) > 1:
            half = len(block.items) // 2
            later = None if block.start is None else block.start + half
            return (replace(block, items=block.items[:half]), Items(start=later, items=block.items[half:]))
        case Items():
            return block.items[0]
        case Quote() if len(block.blocks) > 1:
            half = len(block.blocks) // 2
            return (Quote(blocks=block.blocks[:half]), Quote(blocks=block.blocks[half:]))
        case Quote():
            return block.blocks
        case Table() if len(block.rows) > 1:
            half = len(block.rows) // 2
            return (replace(block, rows=block.rows[:half]), replace(block, rows=block.rows[half:]))
        case Table():
            return (Paragraph(spans=lay_out((block,), _DIALECT)),)
        case CodeBlock() if utf16_length(block.text) > _FENCE_ROOM:
            halves = cut(block.text, utf16_length(block.text) // 2 + 1)
            return [replace(block, text=block.text[start:end]) for start, end in halves]
        case CodeBlock():
            return (Paragraph(spans=(Span(text=block.text),)),)
        case Heading():
            return (Paragraph(spans=block.spans),)
        case Rule():
            return ()
        case Paragraph():
            return _divided_paragraph(block.spans)


def _divided_paragraph(spans: Spans) -> Sequence[Paragraph]:
    text = plain_text(spans)
    length = utf16_length(text)
    if length <= _FENCE_ROOM and any(span.marks for span in spans):
        return (Paragraph(spans=(Span(text=text),)),)
    return [Paragraph(spans=_slice(spans, start, end)) for start, end in cut(text, max(2, length // 2 + length % 2))]


def _slice(spans: Spans, start: int, end: int) -> Spans:
    kept: list[Span] = []
    position = 0
    for span in spans:
        text = span.text[max(0, start - position) : max(0, end - position)]
        if text:
            kept.append(replace(span, text=text))
        position += len(span.text)
    return tuple(kept)
