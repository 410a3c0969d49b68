"""Documents to passages. Pure: the same document always gives the same passages.

Markdown is cut at its headings, and each passage carries the path of headings above it as its title,
because 「退款」 under 「海外订单」 means nothing without the upper one. A section that is too long is cut between
blocks, then list items, table rows or sentences. A URL, a telephone number and a table row stay whole.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from knowledge.values import Chunk, Document

TITLE_SEPARATOR = " › "


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """Sizes in estimated tokens of a multilingual model (see `estimate_tokens`)."""

    target: int = 200
    """A passage is closed once it has this many."""

    maximum: int = 320
    """No passage is longer, but for a single table row, URL or line of code that is. Half of what
    e5 reads at once (512): an average over more blurs, and costs a core 1 ms a token."""


DEFAULT_LIMITS = ChunkLimits()

_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def estimate_tokens(text: str) -> int:
    """Tokens of the XLM-RoBERTa vocabulary, from character counts alone: about .65 for a wide
    (Chinese, Japanese, Korean) character and .25 for another."""
    wide = sum(1 for _ in _WIDE.finditer(text))
    return round(0.65 * wide + 0.25 * (len(text) - wide))


def chunk_document(document: Document, limits: ChunkLimits = DEFAULT_LIMITS) -> tuple[Chunk, ...]:
    """The passages of one document, in its order; none for a document without words."""
    if document.format == "row":
        return (_chunk(document, id=document.id, title=document.title, text=document.text),)
    if document.format == "markdown":
        sections = _markdown_sections(document)
    else:
        sections = iter([_Section(path=(document.title,), blocks=_paragraphs(document.text))])
    return tuple(_number(document, sections, limits))


def _chunk(document: Document, *, id: str, title: str, text: str) -> Chunk:  # noqa: A002 - the field's name
    return Chunk(
        id=id,
        document=document.id,
        title=title,
        text=text,
        question=document.question,
        answer=document.answer,
        url=document.url,
        tags=document.tags,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A paragraph, list, table or code block, and where it may be cut."""

    units: tuple[str, ...]
    """Pieces that stay whole where they fit; joined by `glue` they are the block."""

    glue: str = "\n"
    head: str = ""
    """Repeated at the top of every part: a table's header, a code fence's opening."""

    tail: str = ""
    prose: bool = True
    """Whether a unit that is too long may be cut at sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    path: tuple[str, ...]
    blocks: list[_Block] = field(default_factory=list)
    anchored: bool = False
    """Whether it stands under a heading of its own, which then is part of the id."""


def _number(document: Document, sections: Iterable[_Section], limits: ChunkLimits) -> Iterator[Chunk]:
    anchors: dict[str, int] = {}
    for section in sections:
        anchor = document.id
        if section.anchored:
            slug = _slug(section.path[-1])
            anchors[slug] = anchors.get(slug, -1) + 1
            # GitHub's rule for a heading that comes again, so that the id is also the page's fragment.
            anchor += f"#{slug}-{anchors[slug]}" if anchors[slug] else f"#{slug}"
        title = TITLE_SEPARATOR.join(section.path)
        for number, text in enumerate(_pack(section.blocks, limits), start=1):
            yield _chunk(document, id=anchor if number == 1 else f"{anchor}~{number}", title=title, text=text)


def _slug(heading: str) -> str:
    kept = "".join(character for character in heading.lower() if character.isalnum() or character in " -_")
    return kept.strip().replace(" ", "-") or "section"


# --- Markdown ---------------------------------------------------------------------------------------


def _markdown_sections(document: Document) -> Iterator[_Section]:
    """One section a heading; a heading without text of its own lives on in its children's paths."""
    lines = document.text.split("\n")
    section = _Section(path=(document.title,))
    headings: list[tuple[int, str]] = []
    for tokens in _top_level_blocks(document.text):
        opening = tokens[0]
        if opening.type != "heading_open":
            section.blocks.extend(_markdown_block(tokens, lines))
            continue
        level, heading = int(opening.tag[1]), _plain(tokens[1].content)
        if section.blocks:
            yield section
        elif section.anchored and headings[-1][0] >= level:
            # Nothing below it either: the heading itself is what was to be said.
            yield _with_text(section)
        headings = [(depth, name) for depth, name in headings if depth < level] + [(level, heading)]
        names = [name for _, name in headings if name and name != document.title]
        section = _Section(path=(document.title, *names), anchored=bool(names))
    if section.blocks:
        yield section
    elif section.anchored:
        yield _with_text(section)


def _with_text(section: _Section) -> _Section:
    return _Section(path=section.path, blocks=[_Block(units=(section.path[-1],))], anchored=True)


def _plain(heading: str) -> str:
    """A heading without its marks: `**Refunds** {#refunds}` is "Refunds"."""
    text = re.sub(r"\s*\{#[^}]*\}\s*$", "", heading)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*`]|__|~~", "", text).strip()


def _top_level_blocks(text: str) -> Iterator[list[Token]]:
    """The tokens of each block of the document's first level, opening token first."""
    block: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _markdown_block(tokens: list[Token], lines: list[str]) -> list[_Block]:
    opening = tokens[0]
    if opening.map is None or opening.type == "hr":
        return []
    start, end = opening.map
    own = lines[start:end]
    while own and not own[-1].strip():
        own.pop()
    if opening.type == "table_open":
        return [_Block(units=tuple(own[2:]) or ("",), head="\n".join(own[:2]) + "\n", prose=False)]
    if opening.type in ("fence", "code_block"):
        fenced = opening.type == "fence" and len(own) > 1
        head, body = (own[0] + "\n", own[1:]) if fenced else ("", own)
        tail = "\n" + body.pop() if fenced and body and body[-1].strip().startswith(opening.markup) else ""
        return [_Block(units=tuple(body), head=head, tail=tail, prose=False)] if body else []
    if opening.type in ("bullet_list_open", "ordered_list_open"):
        starts = sorted({t.map[0] for t in tokens if t.type == "list_item_open" and t.map} | {start})
        ends = [*starts[1:], start + len(own)]
        items = (_visible("\n".join(lines[a:b])).rstrip() for a, b in zip(starts, ends, strict=True))
        return [_Block(units=tuple(item for item in items if item))]
    text = _visible("\n".join(own)).strip("\n")
    words = re.sub(r"<[^>]*>", "", text) if opening.type == "html_block" else text
    return [_Block(units=(text,))] if words.strip() else []


def _visible(text: str) -> str:
    """Without HTML comments: no reader of the page sees them, so no customer should."""
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _paragraphs(text: str) -> list[_Block]:
    return [_Block(units=(part.strip("\n"),)) for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


# --- Packing and cutting ----------------------------------------------------------------------------


def _pack(blocks: Sequence[_Block], limits: ChunkLimits) -> Iterator[str]:
    """The section's blocks as few texts of at most the maximum, closed past the target."""
    texts: list[str] = []
    size = 0
    for block in blocks:
        for part in _parts(block, limits):
            part_size = estimate_tokens(part)
            if texts and (size >= limits.target or size + part_size > limits.maximum):
                yield "\n\n".join(texts)
                texts, size = [], 0
            texts.append(part)
            size += part_size
    if texts:
        yield "\n\n".join(texts)


def _parts(block: _Block, limits: ChunkLimits) -> Iterator[str]:
    """The block whole where it fits, else in parts, each with the block's head and tail."""
    whole = block.head + block.glue.join(block.units) + block.tail
    if estimate_tokens(whole) <= limits.maximum:
        yield whole
        return
    room = max(1, limits.maximum - estimate_tokens(block.head + block.tail))
    units: list[tuple[str, str]] = []
    for unit in block.units:
        pieces = _cut_prose(unit, room) if block.prose and estimate_tokens(unit) > room else [unit]
        units.extend((piece, block.glue if n == 0 else "") for n, piece in enumerate(pieces))
    for text in _join(units, room):
        yield block.head + text.strip("\n") + block.tail


def _join(units: Iterable[tuple[str, str]], room: int) -> Iterator[str]:
    """Neighbours put together while they fit; each unit comes with what joins it to the one before."""
    text = ""
    for unit, glue in units:
        if text and estimate_tokens(text + glue + unit) > room:
            yield text
            text = unit
        else:
            text = text + glue + unit if text else unit
    if text:
        yield text


# Sentence ends with the closing quotes and brackets that belong to them; the English full stop only
# before a space, so that 3.5 and example.com stay whole.
_SENTENCE_END = re.compile(r"""(?:[。！？!?…]+|\.(?=["'”’)\]]*\s))["'”’』」）)\]]*[ \t]*|\n""")
_CLAUSE_END = re.compile(r"[，、；：,;:]+[ \t]*|[ \t]+")

# Every repetition has a bound: an unbounded one over a run of Chinese without stops is quadratic.
_WHOLE = re.compile(
    r"""!?\[[^\]\n]{0,300}\]\([^)\s]{0,2000}\)"""  # a Markdown link
    r"""|(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s<>"'，。；！？、（）【】《》「」]+"""
    r"""|[a-z0-9._+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+"""
    r"""|[+＋]?(?:[(（]\d{2,5}[)）][ -]?)?\d+(?:[ -]\d+)+|\d{2,}(?:\.\d+)*""",  # telephone, order number
    re.IGNORECASE,
)


def _cut_prose(text: str, room: int) -> list[str]:
    """`text` in pieces of at most `room` tokens: at sentence ends, else clauses, else anywhere
    that is not inside a URL, an address or a number. Joined without glue they are `text` again."""
    whole = [match.span() for match in _WHOLE.finditer(text)]
    starts = [start for start, _ in whole]

    def allowed(position: int) -> bool:
        before = bisect_left(starts, position) - 1
        return before < 0 or position >= whole[before][1]

    sentences = [m.end() for m in _SENTENCE_END.finditer(text) if allowed(m.end())]
    pieces: list[str] = []
    for start, end in _spans(0, len(text), sentences):
        pieces.extend(_cut_sentence(text, start, end, room, allowed))
    return list(_join([(piece, "") for piece in pieces], room))


def _cut_sentence(text: str, start: int, end: int, room: int, allowed: Callable[[int], bool]) -> Iterator[str]:
    if estimate_tokens(text[start:end]) <= room:
        yield text[start:end]
        return
    clauses = [start + m.end() for m in _CLAUSE_END.finditer(text[start:end]) if allowed(start + m.end())]
    for a, b in _spans(start, end, clauses):
        if estimate_tokens(text[a:b]) <= room:
            yield text[a:b]
            continue
        # A wide character is .65 tokens: this many characters fit whatever they are.
        step = max(1, int(room / 0.65))
        while b - a > step:
            cut = next((p for p in range(a + step, a, -1) if allowed(p)), None)
            if cut is None:  # one URL from the start: it ends the piece wherever it ends
                cut = next((p for p in range(a + step, b) if allowed(p)), b)
            yield text[a:cut]
            a = cut
        if a < b:
            yield text[a:b]


def _spans(start: int, end: int, cuts: Iterable[int]) -> Iterator[tuple[int, int]]:
    for cut in cuts:
        if start < cut < end:
            yield start, cut
            start = cut
    if start < end:
        yield start, end
