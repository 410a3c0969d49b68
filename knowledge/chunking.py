"""Documents to passages. Pure: the same document always gives the same passages.

Markdown is cut at its headings, and each passage carries the path of headings above it as its title,
because 「退款」 under 「海外订单」 means nothing without the upper one. A section that is too long is cut between
blocks, then list items, table rows or sentences (`knowledge.cutting`). A URL, a telephone number and a table row stay
whole.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from knowledge.cutting import Block, ChunkLimits, Measure, pack
from knowledge.values import Chunk, Document

TITLE_SEPARATOR = " › "


DEFAULT_LIMITS = ChunkLimits()

_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def estimate_tokens(text: str) -> int:
    """Tokens of the XLM-RoBERTa vocabulary, from character counts alone: about .65 for a wide
    (Chinese, Japanese, Korean) character and .25 for another."""
    wide = sum(1 for _ in _WIDE.finditer(text))
    return round(0.65 * wide + 0.25 * (len(text) - wide))


def estimate_all(texts: Sequence[str]) -> list[int]:
    """For `chunk_document` where no embedder measures, or one that does not tell its tokens."""
    return [estimate_tokens(text) for text in texts]


def chunk_document(
    document: Document, limits: ChunkLimits = DEFAULT_LIMITS, measure: Measure = estimate_all
) -> tuple[Chunk, ...]:
    """The passages of one document, in its order; none for a document without words. Their sizes are those that
    `measure` gives to paragraphs and sentences, added up."""
    if document.format == "row":
        return (_chunk(document, id=document.id, title=document.title, text=document.text),)
    if document.format == "markdown":
        sections = _markdown_sections(document)
    else:
        sections = iter([_Section(path=(document.title,), blocks=_paragraphs(document.text))])
    return tuple(_number(document, sections, limits, measure))


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
class _Section:
    path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)
    anchored: bool = False
    """Whether it stands under a heading of its own, which then is part of the id."""


def _number(document: Document, sections: Iterable[_Section], limits: ChunkLimits, measure: Measure) -> Iterator[Chunk]:
    anchors: dict[str, int] = {}
    for section in sections:
        anchor = document.id
        if section.anchored:
            slug = _slug(section.path[-1])
            anchors[slug] = anchors.get(slug, -1) + 1
            # GitHub's rule for a heading that comes again, so that the id is also the page's fragment.
            anchor += f"#{slug}-{anchors[slug]}" if anchors[slug] else f"#{slug}"
        title = TITLE_SEPARATOR.join(section.path)
        for number, text in enumerate(pack(section.blocks, limits, measure), start=1):
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
    return _Section(path=section.path, blocks=[Block(units=(section.path[-1],))], anchored=True)


def _plain(heading: str) -> str:
    """A heading without its marks: `**Refunds** {#refunds}` is "Refunds"."""
    text = re.sub(r"\s*\{#[^}]*\}\s*$", "", heading)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*`]|__|~~", "", text).strip()


def _top_level_blocks(text: str) -> Iterator[list[Token]]:
    """The tokens of each block of the document's first level, opening token first."""
    block: list[Token] = []
    # What stands inside a line is kept as it is, so it need not be parsed: that is most of the time, and the part of
    # Markdown that can be made to take long.
    for token in MarkdownIt("commonmark").enable("table").disable("inline").parse(text):
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _markdown_block(tokens: list[Token], lines: list[str]) -> list[Block]:
    opening = tokens[0]
    if opening.map is None or opening.type == "hr":
        return []
    start, end = opening.map
    own = lines[start:end]
    while own and not own[-1].strip():
        own.pop()
    if opening.type == "table_open":
        return [Block(units=tuple(own[2:]) or ("",), head="\n".join(own[:2]) + "\n", prose=False)]
    if opening.type in ("fence", "code_block"):
        fenced = opening.type == "fence" and len(own) > 1
        head, body = (own[0] + "\n", own[1:]) if fenced else ("", own)
        tail = "\n" + body.pop() if fenced and body and body[-1].strip().startswith(opening.markup) else ""
        return [Block(units=tuple(body), head=head, tail=tail, prose=False)] if body else []
    if opening.type in ("bullet_list_open", "ordered_list_open"):
        starts = sorted({t.map[0] for t in tokens if t.type == "list_item_open" and t.map} | {start})
        ends = [*starts[1:], start + len(own)]
        items = (_visible("\n".join(lines[a:b])).rstrip() for a, b in zip(starts, ends, strict=True))
        return [Block(units=tuple(item for item in items if item))]
    text = _visible("\n".join(own)).strip("\n")
    words = re.sub(r"<[^>]*>", "", text) if opening.type == "html_block" else text
    return [Block(units=(text,))] if words.strip() else []


def _visible(text: str) -> str:
    """Without HTML comments: no reader of the page sees them, so no customer should."""
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _paragraphs(text: str) -> list[Block]:
    return [Block(units=(part.strip("\n"),)) for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
