"""Slack's mrkdwn as plain words, and plain words as mrkdwn that mentions nobody. Pure.

What people type arrives as text in which Slack has replaced `&`, `<` and `>`, and has wrapped what it understood in
angle brackets: `<@U1>`, `<#C1|general>`, `<!here>`, `<https://x.example|words>`. Lists, quotes and code stand in the
text as people see them; they are left as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

_MARK = re.compile(r"<([^<>\n]{1,4000})>")
_PERSON = re.compile(r"<@([UWB][A-Z0-9]{1,30})(?:\|[^<>\n]*)?>")
_AFTER_NAME = re.compile(r"[ \t]*[,，:：、]?[ \t]*")
_ENTITY = re.compile(r"&(amp|lt|gt);")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a text says to whom."""

    text: str
    """Plain words, without our own name."""
    to_us: bool
    """We are mentioned."""
    to_others: bool
    """Somebody else is mentioned."""


def read(text: str, *, me: str, name_of: Callable[[str], str]) -> Said:
    """The words of a text in mrkdwn.

    :param me: our own user id; "" where it is not known: then nobody is us.
    :param name_of: what to call a user id; "" where nobody knows.
    """
    mentioned = set(_PERSON.findall(text))
    ours = me if me in mentioned else ""
    kept: list[str] = []
    position = 0
    for mark in _MARK.finditer(text):
        kept.append(unescape(text[position : mark.start()]))
        position = mark.end()
        if ours and (person := _PERSON.fullmatch(mark[0])) and person[1] == ours:
            position += _set_apart(text[position:], first=not "".join(kept).strip())
        else:
            kept.append(_plain(mark[1], name_of))
    kept.append(unescape(text[position:]))
    return Said(text="".join(kept).strip(), to_us=bool(ours), to_others=bool(mentioned - {ours}))


def _set_apart(rest: str, *, first: bool) -> int:
    """How much of what follows our name only sets it apart from the words."""
    if not first:
        return len(rest) - len(rest.lstrip(" \t"))
    found = _AFTER_NAME.match(rest)
    assert found is not None  # it matches the empty text
    return found.end()


def _plain(mark: str, name_of: Callable[[str], str]) -> str:
    """One pair of angle brackets."""
    target, bar, label = mark.partition("|")
    target, label = unescape(target), unescape(label).strip()
    if target.startswith("@"):
        return "@" + (name_of(target[1:]) or label.removeprefix("@") or target[1:])
    if target.startswith("#"):
        return "#" + (label.removeprefix("#") or target[1:])
    if target.startswith("!"):
        return _special(target[1:], label)
    if not bar or not label or label == target or target == f"mailto:{label}" or target == f"tel:{label}":
        return label or target.removeprefix("mailto:").removeprefix("tel:")
    # Of a link that hides its address both are words: "click here" alone asks nothing.
    return label if target in (f"http://{label}", f"https://{label}", f"http://{label}/") else f"{label} ({target})"


def _special(name: str, label: str) -> str:
    kind = name.partition("^")[0]
    if kind == "subteam":
        return label if label.startswith("@") else f"@{label or 'group'}"
    if kind == "date":
        return label
    return f"@{kind}" if kind in ("here", "channel", "everyone") else (label or f"@{kind}")


def unescape(text: str) -> str:
    """Slack escapes these three and no others: `&nbsp;` was typed so."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def escape(text: str) -> str:
    """So that nothing in these words becomes a mention, a link or a broadcast."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def storable(text: str) -> str:
    """Half a surrogate pair can not be written as UTF-8, and PostgreSQL takes no NUL."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
