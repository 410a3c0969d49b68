"""Bytes to clean text, and text files to documents."""

import re

from knowledge.values import Document

# Invisible characters that carry text past a human reviewer or into a prompt: Unicode tags, bidirectional
# overrides, zero-width space, word joiner, byte order mark, and the C0 controls that are not layout.
# The zero-width joiner and the variation selectors stay: emoji and several scripts need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class UnreadableTextError(Exception):
    """The bytes are not text we can take; `line` (from 1) is where that shows, None for the whole file."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def decode(data: bytes) -> str:
    """UTF-8, with or without byte order mark, line ends made `\\n`.

    Raises UnreadableTextError for binary data and for another encoding, with the first bad line.
    """
    encoding = _BYTE_ORDER_MARKS.get(data[:2])
    if encoding is not None:
        raise UnreadableTextError(f"is {encoding}, not UTF-8; save it as UTF-8", 1)
    if b"\0" in data:
        raise UnreadableTextError("is binary, not text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "; it reads as GB18030" if _reads_as_gb18030(data) else ""
        byte = data[error.start]
        raise UnreadableTextError(f"is not UTF-8 (byte 0x{byte:02x}){hint}; save it as UTF-8", line) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _reads_as_gb18030(data: bytes) -> bool:
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def without_invisible(text: str) -> str:
    """Without characters that nobody sees, and without lone surrogates."""
    return _INVISIBLE.sub("", text).encode("utf-8", "replace").decode("utf-8")


def first_heading(markdown: str) -> str:
    """The words of the first heading of the first level, "" where there is none."""
    found = _FIRST_HEADING.search(markdown)
    return clean(found.group(1)) if found else ""


def clean(text: str) -> str:
    """Without invisible characters and lone surrogates, outer blank space cut."""
    return without_invisible(text).strip()


_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIRST_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)


def markdown_document(document_id: str, text: str) -> Document | None:
    """A Markdown file; `title`, `url` and `tags` may stand in its front matter. None when it is empty."""
    fields, body, line = split_front_matter(text)
    body = without_invisible(body)
    if not body.strip():
        return None
    title = clean(fields.get("title", "")) or first_heading(body) or stem(document_id)
    tags = split_tags(fields.get("tags", "").strip("[]"))
    return Document(
        id=document_id,
        title=title,
        text=body,
        format="markdown",
        url=clean(fields.get("url", "")),
        tags=tags,
        line=line,
    )


def text_document(document_id: str, text: str) -> Document | None:
    """A plain text file, titled by its name. None when it is empty."""
    body = clean(text)
    if not body:
        return None
    return Document(id=document_id, title=stem(document_id), text=body, format="text")


def split_front_matter(text: str) -> tuple[dict[str, str], str, int]:
    """The simple `key: value` lines of a front matter, the body, and the line the body starts at.

    No YAML: nested values are left out, which loses nothing we read.
    """
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text, 1
    fields: dict[str, str] = {}
    for line in match.group(1).split("\n"):
        key, colon, value = line.partition(":")
        if colon and key == key.strip():
            fields[key.lower()] = value.strip().strip("\"'")
    return fields, text[match.end() :], match.group(0).count("\n") + 1


def split_tags(text: str) -> tuple[str, ...]:
    """`shipping, 物流；海外` → ("shipping", "物流", "海外")."""
    parts = (clean(part).strip("\"'") for part in re.split(r"[,;|，；、]", text))
    return tuple(dict.fromkeys(part for part in parts if part))


def stem(document_id: str) -> str:
    """A document's name without folders and without what comes after the last full stop."""
    name = document_id.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name else name
