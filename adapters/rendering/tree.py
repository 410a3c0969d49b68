"""Markdown as a small tree of our own: the one form that every platform's dialect is written from.

Read with markdown-it, without raw HTML, and forgiving where models and people differ from CommonMark:

* ``**重点：**后文`` is bold (CommonMark wants a space after such a closing mark, which Chinese does not have);
* a ``*`` between two letters or digits, as in 100*200*300, is itself;
* a line break in the source is a line break;
* indented text is text, not code; ``[注意]: 七天内`` is text, not an invisible link definition;
* ``text`` over ``---`` is text and a rule, not a heading.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline.state_inline import Scanned, StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType

from adapters.rendering.safe_text import clean

Kind: TypeAlias = Literal["bold", "italic", "strikethrough", "code", "link", "pre", "blockquote"]
Align: TypeAlias = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mark:
    """One use of a style in the source; two uses are two marks, even side by side, so marks always nest."""

    kind: Kind
    url: str = ""
    """Where a link leads: http, https, mailto or tel."""
    language: str = ""
    """The language named at a code fence, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A run of text under the same marks, outermost first."""

    text: str
    marks: tuple[Mark, ...] = ()


Spans: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    spans: Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    level: int
    spans: Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlock:
    text: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line between two parts of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    blocks: "Blocks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list: numbered from `start`, or with bullets where it is None."""

    start: int | None
    items: "tuple[Blocks, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    header: tuple[Spans, ...]
    rows: tuple[tuple[Spans, ...], ...]
    """Each as long as the header."""
    align: tuple[Align, ...]


Block: TypeAlias = Paragraph | Heading | CodeBlock | Rule | Quote | Items | Table
Blocks: TypeAlias = tuple[Block, ...]

# markdown-it leaves out what is nested deeper; no person writes such a text, and we show it as it stands.
_MAX_NESTING = 40
_MAX_URL = 2048
_LINK_SCHEME = re.compile(r"(?:https?://|mailto:|tel:)[^\s]+", re.IGNORECASE)
_LANGUAGE = re.compile(r"[0-9A-Za-z+#._-]{1,32}")
_BREAK_TAG = re.compile(r"<br[ ]*/?>", re.IGNORECASE)
_STYLES: dict[str, Kind] = {"strong": "bold", "em": "italic", "s": "strikethrough"}
# Han, kana, hangul and bopomofo with their punctuation, and full-width forms.
_CJK = re.compile(
    "[\u2e80-\u31ff\u3200-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U00020000-\U0003ffff]"
)


def parse(markdown: str) -> Blocks:
    """The tree of any text; what is no Markdown is paragraphs. Never raises. Text in it is `safe_text.clean`."""
    text = clean(markdown)
    tokens = _parser().parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        return tuple(Paragraph(spans=(Span(text=part.strip()),)) for part in text.split("\n\n") if part.strip())
    return _blocks(iter(tokens), until="")


def plain_text(spans: Sequence[Span]) -> str:
    """The visible text of a run of spans."""
    return "".join(span.text for span in spans)


class _State(StateInline):
    """markdown-it's inline state, with emphasis that works where words are not set apart by spaces."""

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803 - overrides markdown-it's name
        marker = self.src[start]
        end = start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = self.src[start - 1] if start > 0 else " "
        after = self.src[end] if end < self.posMax else " "
        if marker == "_":
            return super().scanDelims(start, canSplitWord)
        if marker == "*" and end == start + 1 and before.isalnum() and after.isalnum():
            # 100*200*300 mm: losing the signs of a measure is worse than showing those of an emphasis inside a word.
            return Scanned(False, False, 1)
        # CommonMark's flanking rules, but an ideograph or its punctuation beside the run counts as a word's edge.
        edge_before = isWhiteSpace(ord(before)) or _is_punctuation(before) or _CJK.match(before) is not None
        edge_after = isWhiteSpace(ord(after)) or _is_punctuation(after) or _CJK.match(after) is not None
        left = not isWhiteSpace(ord(after)) and (not _is_punctuation(after) or edge_before)
        right = not isWhiteSpace(ord(before)) and (not _is_punctuation(before) or edge_after)
        return Scanned(left, right, end - start)


class _Inline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        state = _State(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.inline = _Inline()
    parser.enable(["table", "strikethrough"])
    parser.disable(["code", "lheading", "reference", "html_block", "html_inline"])
    # Every target is read as a link, so that a forbidden one shows its text and not its source.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


def _is_punctuation(char: str) -> bool:
    return (isMdAsciiPunct(ord(char)) or isPunctChar(char)) and _CJK.match(char) is None


def _blocks(tokens: Iterator[Token], until: str) -> Blocks:
    blocks: list[Block] = []
    for token in tokens:
        if token.type == until:
            break
        block = _block(token, tokens)
        if block is not None:
            blocks.append(block)
    return tuple(blocks)


def _block(token: Token, tokens: Iterator[Token]) -> Block | None:
    match token.type:
        case "inline":
            spans = _trimmed(_spans(token.children or ()))
            return Paragraph(spans=spans) if spans else None
        case "heading_open":
            spans = _trimmed(_spans(next(tokens).children or ()))
            next(tokens)
            return Heading(level=int(token.tag[1:]), spans=spans) if spans else None
        case "fence" | "code_block":
            return _code(token)
        case "hr":
            return Rule()
        case "blockquote_open":
            quoted = _blocks(tokens, "blockquote_close")
            return Quote(blocks=quoted) if quoted else None
        case "bullet_list_open":
            return Items(start=None, items=_items(tokens, "bullet_list_close"))
        case "ordered_list_open":
            start = token.attrGet("start")
            return Items(start=1 if start is None else int(start), items=_items(tokens, "ordered_list_close"))
        case "table_open":
            return _table(tokens)
    return None  # paragraph_open and paragraph_close stand around an inline token


def _items(tokens: Iterator[Token], until: str) -> tuple[Blocks, ...]:
    items: list[Blocks] = []
    for token in tokens:
        if token.type == until:
            break
        items.append(_blocks(tokens, "list_item_close"))
    return tuple(items)


def _code(token: Token) -> CodeBlock | None:
    text = clean(token.content).rstrip().removeprefix("\n")
    named = _LANGUAGE.match(clean(token.info).strip())
    return CodeBlock(text=text, language=named[0] if named else "") if text.strip() else None


def _table(tokens: Iterator[Token]) -> Table | None:
    rows: list[list[Spans]] = []
    align: list[Align] = []
    for token in tokens:
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type in {"th_open", "td_open"}:
            rows[-1].append(_trimmed(_spans(next(tokens).children or ())))
            if token.type == "th_open":
                style = str(token.attrGet("style") or "")
                align.append("right" if "right" in style else "center" if "center" in style else "left")
    header, *body = rows
    width = len(header)
    if not any(cell for row in rows for cell in row):
        return None
    full = tuple(tuple([*row, *([()] * width)][:width]) for row in body)
    return Table(header=tuple(header), rows=full, align=tuple(align))


def _spans(tokens: Sequence[Token]) -> list[Span]:
    spans: list[Span] = []
    stack: list[Mark | None] = []

    def add(text: str, *more: Mark) -> None:
        if text:
            marks = (*(mark for mark in stack if mark is not None), *more)
            spans.append(Span(text=text, marks=marks))

    for token in tokens:
        name, _, side = token.type.rpartition("_")
        match token.type:
            case "text":
                add(_BREAK_TAG.sub("\n", clean(token.content)))
            case "softbreak" | "hardbreak":
                add("\n")
            case "code_inline":
                add(clean(token.content), Mark(kind="code"))
            case "image":
                # Never fetched: a reader who wants to see it follows the link.
                linked = any(mark is not None and mark.kind == "link" for mark in stack)
                target = None if linked else _link(str(token.attrGet("src") or ""))
                add(clean(token.content) or (target.url if target else ""), *([target] if target else []))
            case _ if side == "open":
                stack.append(_opened(name, token, stack))
            case _ if side == "close" and stack:
                stack.pop()
    return spans


def _opened(name: str, token: Token, stack: Sequence[Mark | None]) -> Mark | None:
    """The mark that begins here, or None where it adds nothing: bold in bold, or a link that may not be followed."""
    if name == "link":
        return _link(str(token.attrGet("href") or ""))
    kind = _STYLES.get(name)
    if kind is None or any(mark is not None and mark.kind == kind for mark in stack):
        return None
    return Mark(kind=kind)


def _link(url: str) -> Mark | None:
    url = clean(url).strip()
    allowed = len(url) <= _MAX_URL and _LINK_SCHEME.fullmatch(url) is not None
    return Mark(kind="link", url=url) if allowed else None


def _trimmed(spans: Sequence[Span]) -> Spans:
    """Without white space at either end."""
    kept = list(spans)
    while kept and not kept[0].text.strip():
        kept.pop(0)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[0] = replace(kept[0], text=kept[0].text.lstrip())
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip())
    return tuple(kept)
