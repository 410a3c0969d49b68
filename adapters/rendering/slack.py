"""Markdown for Slack, in its two dialects: the standard one of `markdown` blocks and streams, and mrkdwn.

In both, ``<!channel>``, ``<@U123>`` and their like notify people. Nothing that a model or a customer writes may do so:
what looks like one gets a ``＜`` that Slack does not know, in code and in links as well, since nobody has written down
in what order Slack reads them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from adapters.rendering import markdown as standard_markdown
from adapters.rendering.layout import Dialect, lay_out
from adapters.rendering.safe_text import clean
from adapters.rendering.tree import Kind, Mark, Span, parse, plain_text

MARKDOWN_LIMIT = 12_000
"""The longest `markdown` block, and the longest chunk of a stream, in characters; we count UTF-16 units."""

# As few backslashes as CommonMark needs: it is not known that Slack takes all of them away again.
_SPECIAL = re.compile(
    r"[\\`*|\[\]~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # snake_case is itself everywhere
    r"|<(?=[A-Za-z/!?@#])"
    r"|&(?=#?\w{1,32};)"
    r"|^[#>=]",
    re.MULTILINE,
)
_NOTIFIES = re.compile(
    r"\\?(?:<|&lt;|&#0{0,6}60;|&#x0{0,6}3c;)"
    r"(?=[\\*_~`]*(?:![\\*_~`]*(?:channel|here|everyone|group|subteam|team|date)|[@#][\\*_~`]*[A-Za-z0-9]))",
    re.IGNORECASE,
)
_HARMLESS = "＜"

_DIALECT = Dialect(styled=True, table_width=60)
_PLAIN = Dialect(styled=False, table_width=60)
_MARKERS: dict[Kind, str] = {"bold": "*", "italic": "_", "strikethrough": "~"}
_UNSAFE_IN_URL = re.compile(r"[<>|\s]")


def markdown(source: str, *, limit: int = MARKDOWN_LIMIT) -> tuple[str, ...]:
    """`source` as standard Markdown that notifies nobody, in parts of at most `limit` UTF-16 code units.

    Cut between blocks, list items, table rows (with the head repeated) and lines of code (the fence closed and opened
    again). Blank Markdown has no parts. Never raises for any text.
    """
    return tuple(map(defused, standard_markdown.render(source, limit=limit, special=_SPECIAL)))


def mrkdwn(source: str) -> str:
    """`source` in Slack's own dialect, with everything that stands in it escaped."""
    spans = lay_out(parse(source), _DIALECT)
    written: list[str] = []
    for quoted, run in groupby(spans, key=lambda span: _has(span, "blockquote")):
        text = _written(list(run))
        written.append(re.sub("^", "> ", text, flags=re.MULTILINE) if quoted else text)
    return defused("".join(written)).strip()  # once more, for what came together only here


def plain(source: str) -> str:
    """What `source` says, for notifications and screen readers: without any markup, and escaped."""
    return escaped(plain_text(lay_out(parse(source), _PLAIN)))


def escaped(text: str) -> str:
    """Text that both `text` and mrkdwn show as it stands, and that notifies nobody."""
    return defused(clean(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def defused(text: str) -> str:
    """`text` without anything that Slack could take for a mention or a broadcast; never longer."""
    return _NOTIFIES.sub(_HARMLESS, text)


def link(text: str, url: str) -> str:
    """A link in mrkdwn. `url` is http, https, mailto or tel."""
    address = _UNSAFE_IN_URL.sub(lambda found: f"%{ord(found[0]):02X}", clean(url))
    return f"<{address.replace('&', '&amp;')}|{escaped(text).replace('|', '¦')}>"


@dataclass(slots=True, kw_only=True)
class _Piece:
    """A run of text with at most one style: what mrkdwn makes of nested ones is anybody's guess."""

    text: str
    style: Mark | None


def _written(spans: Sequence[Span]) -> str:
    pieces: list[_Piece] = []
    for span in spans:
        style = _style(span)
        if pieces and pieces[-1].style is style:
            pieces[-1].text += span.text
        else:
            pieces.append(_Piece(text=span.text, style=style))
    written = ""
    for index, piece in enumerate(pieces):
        after = pieces[index + 1].text[:1] if index + 1 < len(pieces) else ""
        written += _piece(piece, written[-1:], after)
    return written


def _style(span: Span) -> Mark | None:
    for kind in ("pre", "link", "code", "bold", "strikethrough", "italic"):
        for mark in span.marks:
            if mark.kind == kind:
                return mark
    return None


def _piece(piece: _Piece, before: str, after: str) -> str:
    text = escaped(piece.text)
    if piece.style is None or not piece.text.strip():
        return text
    match piece.style.kind:
        case "pre" if "```" not in piece.text:
            return ("" if before in {"", "\n"} else "\n") + f"```\n{text}\n```" + ("" if after in {"", "\n"} else "\n")
        case "link":
            return link(piece.text.replace("\n", " "), piece.style.url)
        case "code" if "`" not in piece.text and "\n" not in piece.text:
            return f"`{text}`" if _edge(before) and _edge(after) else text
        case "bold" | "italic" | "strikethrough" as kind:
            return _emphasised(text, _MARKERS[kind], before, after)
    return text


def _emphasised(text: str, marker: str, before: str, after: str) -> str:
    """Every line with its marks: mrkdwn's emphasis does not cross lines, and works between words only."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        core = line.strip()
        left = before if index == 0 and not line[:1].isspace() else ""
        right = after if index == len(lines) - 1 and not line[-1:].isspace() else ""
        if core and marker not in core and _edge(left) and _edge(right):
            lines[index] = line.replace(core, f"{marker}{core}{marker}", 1)
    return "\n".join(lines)


def _edge(char: str) -> bool:
    return char == "" or char.isspace() or char in "()[],.;:!?\"'，。；：！？（）「」、“”"


def _has(span: Span, kind: Kind) -> bool:
    return any(mark.kind == kind for mark in span.marks)
