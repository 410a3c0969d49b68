"""How Telegram reads a message's text: UTF-16 lengths, entities, and the three parse modes with their complaints.

The grammar and the wording of the errors follow the Bot API's "Formatting options" page and what its open server says.
Offsets in errors are bytes of the UTF-8 text, offsets in entities are UTF-16 code units.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.botapi.errors import BadRequest

Entity = dict[str, Any]

TEXT_LIMIT = 4096
ENTITY_TYPES = frozenset(
    [
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
        "date_time",
    ]
)
_RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
_SPACE = " \t\r\n\u200b\ufeff"


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text) + sum(1 for char in text if ord(char) > 0xFFFF)


def _fail(words: str) -> BadRequest:
    return BadRequest(f"can't parse entities: {words}")


def formatted(text: str, *, parse_mode: str | None, entities: list[Entity] | None) -> tuple[str, list[Entity]]:
    """The text a reader sees and its entities, outer space trimmed as the server does.

    :raises BadRequest: with the server's words.
    """
    if parse_mode:
        try:
            parse = {"markdownv2": _markdown_v2, "html": _html, "markdown": _markdown}[parse_mode.lower()]
        except KeyError:
            raise BadRequest("unsupported parse_mode") from None
        text, entities = parse(text)
    found = [dict(entity) for entity in entities or []]
    _check_entities(text, found)
    return _trimmed(text, found)


def check_length(text: str, *, limit: int = TEXT_LIMIT, edit: bool = False) -> None:
    """:raises BadRequest: empty or over the limit."""
    if not text:
        raise BadRequest("message text is empty")
    if units(text) > limit:
        raise BadRequest("MESSAGE_TOO_LONG" if edit else "message is too long")


def _check_entities(text: str, entities: list[Entity]) -> None:
    total = units(text)
    inside_pairs = set()
    position = 0
    for char in text:
        if ord(char) > 0xFFFF:
            inside_pairs.add(position + 1)
        position += units(char)
    for entity in entities:
        kind, offset, length = entity.get("type"), entity.get("offset"), entity.get("length")
        if kind not in ENTITY_TYPES:
            raise BadRequest("can't parse MessageEntity: Unsupported type specified")
        if not isinstance(offset, int) or not isinstance(length, int):
            raise BadRequest('can\'t parse MessageEntity: Field "offset" must be of type Number')
        if offset < 0 or length <= 0 or offset + length > total or {offset, offset + length} & inside_pairs:
            raise BadRequest("ENTITY_BOUNDS_INVALID")
        if kind == "text_link" and not entity.get("url"):
            raise BadRequest("can't parse MessageEntity: Can't find field \"url\"")


def _trimmed(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    lead = units(text) - units(text.lstrip(_SPACE))
    text = text.strip(_SPACE)
    end = units(text)
    kept = []
    for entity in entities:
        start = max(0, entity["offset"] - lead)
        stop = min(end, entity["offset"] + entity["length"] - lead)
        if stop > start:
            kept.append({**entity, "offset": start, "length": stop - start})
    return text, sorted(kept, key=lambda entity: (entity["offset"], -entity["length"]))


@dataclass(slots=True)
class _Open:
    """An entity whose end has not been seen yet."""

    kind: str
    offset: int
    byte: int
    extra: dict[str, Any]


class _Output:
    """The text so far, its length in UTF-16 units and the entities that ended."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.entities: list[Entity] = []
        self.stack: list[_Open] = []

    def put(self, text: str) -> None:
        self.parts.append(text)
        self.length += units(text)

    def open(self, kind: str, byte: int, **extra: Any) -> None:
        self.stack.append(_Open(kind, self.length, byte, extra))

    def close(self, **extra: Any) -> None:
        top = self.stack.pop()
        length = self.length - top.offset
        if length and top.kind:
            found = {"type": top.kind, "offset": top.offset, "length": length}
            self.entities.append(found | top.extra | extra)

    @property
    def result(self) -> tuple[str, list[Entity]]:
        return "".join(self.parts), self.entities


_NAMES = {
    "bold": "Bold",
    "italic": "Italic",
    "underline": "Underline",
    "strikethrough": "Strikethrough",
    "spoiler": "Spoiler",
    "code": "Code",
    "pre": "Pre",
    "text_link": "TextUrl",
    "custom_emoji": "CustomEmoji",
    "blockquote": "BlockQuote",
}
_ENDS = (
    ("bold", "*"),
    ("underline", "__"),
    ("italic", "_"),
    ("strikethrough", "~"),
    ("spoiler", "||"),
    ("pre", "```"),
    ("code", "`"),
    ("text_link", "]"),
    ("custom_emoji", "]"),
)
_STARTS = (
    ("underline", "__"),
    ("italic", "_"),
    ("bold", "*"),
    ("strikethrough", "~"),
    ("spoiler", "||"),
    ("pre", "```"),
    ("code", "`"),
    ("custom_emoji", "!["),
    ("text_link", "["),
)


def _markdown_v2(source: str) -> tuple[str, list[Entity]]:
    out = _Output()
    position = 0
    line_start = True
    while position < len(source):
        char = source[position]
        byte = len(source[:position].encode())
        top = out.stack[-1].kind if out.stack else ""
        if char == "\\" and position + 1 < len(source) and 0 < ord(source[position + 1]) < 127:
            out.put(source[position + 1])
            position, line_start = position + 2, False
            continue
        if char == "\n" and top == "blockquote" and not source.startswith(">", position + 1):
            out.close()
        verbatim = top in {"code", "pre"}
        if char not in ("`" if verbatim else _RESERVED):
            out.put(char)
            position, line_start = position + 1, char == "\n"
            continue
        if char == ">" and line_start:
            if top != "blockquote":
                out.open("blockquote", byte)
            position, line_start = position + 1, False
            continue
        position = _mark_v2(source, position, byte, out)
        line_start = False
    if out.stack and out.stack[-1].kind == "blockquote":
        out.close()
    if out.stack:
        top_open = out.stack[-1]
        raise _fail(f"Can't find end of {_NAMES[top_open.kind]} entity at byte offset {top_open.byte}")
    return out.result


def _mark_v2(source: str, position: int, byte: int, out: _Output) -> int:
    """One mark, opening or closing; returns the position behind it."""
    top = out.stack[-1].kind if out.stack else ""
    for kind, mark in _ENDS:
        if (
            kind == top
            and source.startswith(mark, position)
            and not (mark == "_" and source[position + 1 : position + 2] == "_")
        ):
            position += len(mark)
            if kind not in {"text_link", "custom_emoji"}:
                out.close()
                return position
            return _link_end(source, position, kind, out)
    if top in {"code", "pre"}:
        out.put(source[position])
        return position + 1
    for kind, mark in _STARTS:
        if source.startswith(mark, position):
            position += len(mark)
            extra = {}
            if kind == "pre" and (language := re.match(r"([^\s`]+)\n", source[position:])):
                extra = {"language": language[1]}
                position += language.end()
            elif kind == "pre" and source.startswith("\n", position):
                position += 1
            out.open(kind, byte, **extra)
            return position
    raise _fail(f"Character '{source[position]}' is reserved and must be escaped with the preceding '\\'")


def _link_end(source: str, position: int, kind: str, out: _Output) -> int:
    if not source.startswith("(", position):
        if kind == "custom_emoji":
            raise _fail(f"Custom emoji entity must contain a tg://emoji URL at byte offset {out.stack[-1].byte}")
        out.stack[-1].kind = ""  # a bracket without an address is only words
        out.close()
        return position
    match = re.compile(r"\(((?:\\.|[^)\\])*)\)", re.DOTALL).match(source, position)
    if match is None:
        raise _fail(f"Can't find end of a URL at byte offset {len(source[:position].encode())}")
    url = re.sub(r"\\(.)", r"\1", match[1])
    if kind == "custom_emoji":
        out.close(custom_emoji_id=url.rpartition("=")[2])
    elif "." in url or ":" in url:
        out.close(url=url if ":" in url else f"http://{url}/")
    else:
        out.stack[-1].kind = ""
        out.close()
    return match.end()


def _markdown(source: str) -> tuple[str, list[Entity]]:
    """The legacy mode: no nesting, four marks."""
    out = _Output()
    position = 0
    marks = {"```": "pre", "`": "code", "*": "bold", "_": "italic"}
    while position < len(source):
        char = source[position]
        if char == "\\" and source[position + 1 : position + 2] in set("_*`["):
            out.put(source[position + 1])
            position += 2
            continue
        if char not in "_*`[":
            out.put(char)
            position += 1
            continue
        byte = len(source[:position].encode())
        mark = "```" if source.startswith("```", position) else char
        end = source.find("]" if mark == "[" else mark, position + len(mark))
        if end < 0:
            raise _fail(f"Can't find end of the entity starting at byte offset {byte}")
        out.open("text_link" if mark == "[" else marks[mark], byte)
        out.put(source[position + len(mark) : end])
        position = end + (1 if mark == "[" else len(mark))
        if mark != "[":
            out.close()
        elif match := re.compile(r"\(([^)]*)\)").match(source, position):
            out.close(url=match[1])
            position = match.end()
        else:
            out.stack[-1].kind = ""
            out.close()
    return out.result


_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "code": "code", "pre": "pre", "a": "text_link", "blockquote": "blockquote", "tg-emoji": "custom_emoji",
    "span": "spoiler", "tg-time": "date_time",
}  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z0-9-]*)((?:\s+[A-Za-z-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]*))?)*)\s*>")
_ATTRIBUTE = re.compile(r"([A-Za-z-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]*))")
_REFERENCE = re.compile(r"&(#x[0-9a-fA-F]+|#[0-9]+|lt|gt|amp|quot);")


def _html(source: str) -> tuple[str, list[Entity]]:
    out = _Output()
    names: list[str] = []
    position = 0
    while position < len(source):
        if source[position] == "<":
            position = _tag(source, position, out, names)
        elif match := _REFERENCE.match(source, position):
            out.put(html.unescape(match[0]))
            position = match.end()
        else:
            out.put(source[position])
            position += 1
    if names:
        raise _fail(f'Can\'t find end tag corresponding to start tag "{names[-1]}"')
    return out.result


def _tag(source: str, position: int, out: _Output, names: list[str]) -> int:
    byte = len(source[:position].encode())
    match = _TAG.match(source, position)
    if match is None:
        if source.startswith("</", position):
            raise _fail(f"Unclosed end tag at byte offset {byte}")
        name = re.match(r"[^\s>]*", source[position + 1 :])
        if ">" in source[position:]:
            raise _fail(f'Unsupported start tag "{(name[0] if name else "").lower()}" at byte offset {byte}')
        raise _fail(f"Unclosed start tag at byte offset {byte}")
    closing, name_found, tail = match[1], match[2].lower(), match[3]
    if closing:
        if not names:
            raise _fail(f"Unexpected end tag at byte offset {byte}")
        if name_found and name_found != names[-1]:
            raise _fail(f'Unmatched end tag at byte offset {byte}, expected "</{names[-1]}>", found "</{name_found}>"')
        names.pop()
        out.close()
        return match.end()
    attributes = {found[1].lower(): found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(tail)}
    if name_found not in _TAGS or (name_found == "span" and attributes.get("class") != "tg-spoiler"):
        raise _fail(f'Unsupported start tag "{name_found}" at byte offset {byte}')
    names.append(name_found)
    extra: dict[str, Any] = {}
    if name_found == "a":
        extra = {"url": html.unescape(attributes.get("href", ""))}
    out.open(_TAGS[name_found] if name_found != "a" or extra["url"] else "", byte, **extra)
    return match.end()
