"""Reading and cutting text, Chinese and English alike. Pure, and cheap enough for the event loop."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from bot.dialogue.language import simplified

# Invisible characters that carry text past a reader: controls, bidirectional overrides, zero-width space, Unicode tags.
# The zero-width joiner and variation selectors stay, emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
_BLANKS = re.compile(r"[ \t\u00a0\u3000]+")
# Everything without a shape of its own, what emoji and scripts are joined with included: not for texts that are shown.
_SHAPELESS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """What a person can have meant: without invisible characters and lone surrogates, blanks made single."""
    text = text.encode("utf-8", "ignore").decode("utf-8")
    text = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(line for line in (_BLANKS.sub(" ", line).strip() for line in text.split("\n")) if line)


_MARKUP = re.compile(r"[\\`*_~\[\]<>]")


def literal(text: str) -> str:
    """Plain words as Markdown that reads like them: what a model or a customer chose does not become markup."""
    return _MARKUP.sub(r"\\\g<0>", text)


def visible(text: str) -> str:
    """What is left of a text on its way to a reader, for checks: some channel or link finder drops each of the
    characters that are dropped here, and reads what they kept apart as one word. In one width."""
    return unicodedata.normalize("NFKC", _SHAPELESS.sub("", clean(text)))


# A dozen rules look at one message, and several at one passage: what they have in common is worked out once.
_once = lru_cache(maxsize=256)


@_once
def fold(text: str) -> str:
    """One form for every way of typing the same words: width, case and script do not count."""
    return simplified(unicodedata.normalize("NFKC", text).casefold())


@_once
def clauses(text: str) -> list[str]:
    """The parts of a text between its marks and line ends."""
    return [part.strip() for part in re.split(r"[，。！？；：、,.!?;:\n]+", text) if part.strip()]


def bare(text: str) -> str:
    """`fold` without punctuation, emoji and outer blanks: for comparing with fixed phrases.

    Blanks stay between Latin words only, so that 「转 人工」 and 「转人工」 are one.
    """
    kept = "".join(char if char.isalnum() else " " for char in fold(text))
    return re.sub(r"(?<![a-z0-9]) | (?![a-z0-9])", "", " ".join(kept.split()))


# -- Content words --

# What a question is built with, in either language: it tells nothing about the subject.
_FILLER = re.compile(
    "请问一下|请问|麻烦问下|麻烦|我想问|想问下|想问|问一下|问下|咨询|是不是|能不能|可不可以|可以|能够|怎么办|怎么样|怎么|怎样|如何|"
    "什么时候|什么|为什么|多少|多久|哪些|哪里|哪儿|哪个|几[个天点时号件次位种]|多长时间|有没有|是否|应该|需要|一个|一下|这个|那个|你们|我们|我的|你的|你好|"
    "您好|谢谢|[的了吗呢吧啊呀哦嘛么我你您他她它是在有和跟与就都也还又再很那这要想把被给让对从到去]"
)
_HAN_RUN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
_LATIN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?")
_STOP_WORDS = frozenset(
    "a about after all also am an and any are as at be been before but by can could did do does don't for from "  # noqa: SIM905
    "get give got had has have hello help hey hi how i i'd i'll i'm i've if in is isn't it it's its just know let like "
    "make may me much my need no not of ok on one or our out please should so some tell than thank thanks that the "
    "their them then there these they this to too up us want was way we were what what's when where which while who "
    "why will with would you your yours day days hour hours time long many often soon".split(" ")
)


@_once
def terms(text: str) -> frozenset[str]:
    """The words that carry a text's subject: Chinese as pairs of neighbouring characters, Latin as rough stems,
    numbers as they are."""
    folded = fold(text)
    found: set[str] = set()
    for run in _HAN_RUN.findall(_FILLER.sub(" ", folded)):
        found.update(run[i : i + 2] for i in range(len(run) - 1)) if len(run) > 1 else found.add(run)
    found.update(_stem(word) for word in _LATIN.findall(folded) if word not in _STOP_WORDS)
    return frozenset(found)


def without_filler(text: str) -> str:
    """A text, folded, without what Chinese questions are built with; a blank where something was."""
    return _FILLER.sub(" ", fold(text))


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """ "shipping", "shipped" and "ships" are one; wrong now and then, alike on both sides of a comparison."""
    word = word.removesuffix("'s")
    for ending in ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


# -- What no answer may bring along --

# Greek and Cyrillic letters pass for Latin ones in a host's name; Chinese ones stand right beside it.
_HOST = "a-z0-9\u0370-\u03ff\u0400-\u052f"
_LAST = "(?:[a-z\u0370-\u03ff\u0400-\u052f]{2,}|xn--[a-z0-9-]+)"
_REST = r"[^\s()\[\]{}<>「」『』“”\"，。；、]"
_ADDRESSES = (
    ("//", rf"(?:[a-z][a-z0-9+.-]{{0,20}}:)?//{_REST}+"),
    (":", rf"(?<![a-z])(?:javascript|vbscript|data|tg):{_REST}+"),
    (".", rf"(?<![a-z0-9])www\.{_REST}+"),
    ("@", rf"[{_HOST}_.+-]{{1,64}}@[{_HOST}-]+(?:\.[{_HOST}-]+)+"),
    # What a messenger makes a link of by itself: names with dots between, the last of letters.
    (".", rf"(?<![{_HOST}.-])(?:[{_HOST}](?:[{_HOST}-]*[{_HOST}])?\.)+{_LAST}(?![{_HOST}-])(?:[:/?#]{_REST}*)?"),
)
"""Every kind of address, and the sign without which there is none."""
_MACHINE_TALK = re.compile(
    r"<\s*\||<\s*/?\s*tool_|\{\s*\"(?:response|confidence|arguments)\"|"
    r"\{\s*\"name\"\s*:\s*\"[^\"]{0,80}\"\s*,\s*\"arguments\"",
    re.IGNORECASE,
)
_MACHINE_TALK_BEGINS = re.compile(r"<\s*\||<\s*/?\s*tool_|\{\s*\"", re.IGNORECASE)


def addresses(text: str) -> frozenset[str]:
    """Links, mail addresses and hosts in a text that is `visible`, whatever they are dressed as."""
    pattern = _pattern(tuple(sign in text for sign, _ in _ADDRESSES))
    return frozenset(match.rstrip(".,;:!?/'*_") for match in pattern.findall(text)) if pattern else frozenset()


@cache
def _pattern(possible: tuple[bool, ...]) -> re.Pattern[str] | None:
    """The kinds of addresses that a text can have at all. A growing answer is looked through at every step, and looking
    for a mail address before each letter of a text without "@" takes longer than everything else that is done to it."""
    kinds = [kind for (_, kind), may_be in zip(_ADDRESSES, possible, strict=True) if may_be]
    return re.compile("|".join(kinds), re.IGNORECASE) if kinds else None


def stands_in(address: str, text: str) -> bool:
    """Whether a text has the address whole: shop.example is neither in my-shop.example nor in shop.example.org."""
    whole = rf"(?<![{_HOST}.@-]){re.escape(address)}(?![{_HOST}-]|\.[{_HOST}])"
    return re.search(whole, text, re.IGNORECASE) is not None


def is_machine_talk(text: str) -> bool:
    """Whether a text that is `visible` has what only models and their templates say to each other: a template's tags,
    the JSON of an answer or of a call."""
    return _MACHINE_TALK.search(text) is not None


def can_be_shown_unchecked(text: str) -> bool:
    """Whether a text has nothing that a reader could follow, and nothing that begins like a machine's talk."""
    text = visible(text)
    return not addresses(text) and _MACHINE_TALK_BEGINS.search(text) is None


# -- Sentences --

_CLOSERS = "」』”’\"')）】》"
_SENTENCE_END = re.compile(rf"(?:[。！？!?…]+|(?<![A-Z])\.(?=[\s{_CLOSERS}]|$))[{_CLOSERS}]*\s*|\n+")
_CLAUSE_END = re.compile(r"[；;，,、：:—–]\s*|\s+(?=[(（])")


def sentences(text: str) -> tuple[str, ...]:
    """The text's sentences with their punctuation, outer blanks cut. A line end closes a sentence too."""
    return tuple(piece for piece in (part.strip() for part in _split(text, _SENTENCE_END)) if piece)


def _split(text: str, ends: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in ends.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def joined(pieces: Sequence[str]) -> str:
    """Sentences put together again: a blank between them unless the first ends like Chinese does."""
    text = ""
    for piece in pieces:
        blank = "" if not text or text[-1] in "。！？…；」』”）】" else " "
        text += blank + piece
    return text


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, ended at a sentence; one that is longer alone ends at a clause, with an ellipsis."""
    if len(text) <= limit:
        return text
    end = 0
    for match in _SENTENCE_END.finditer(text):
        if len(text[: match.end()].rstrip()) > limit:
            break
        end = match.end()
    return text[:end].rstrip() if end else clipped(text, limit)


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters of one sentence, ended at a clause if one ends in the last quarter, else at a word: an
    earlier clause would lose what the sentence says of its subject."""
    if len(text) <= limit:
        return text
    room = text[: max(limit - 1, 0)]
    ends = [match.start() for match in _CLAUSE_END.finditer(room) if match.start() >= limit * 3 // 4]
    if not ends and room and text[len(room)].isascii() and text[len(room)].isalnum():
        ends = [at for at in [room.rfind(" ")] if at >= limit // 2]
    return (room[: ends[-1]] if ends else room).rstrip() + "…"


def excerpt(text: str, limit: int) -> str:
    """One line of a text, for titles and subjects."""
    return clipped(" ".join(text.split()), limit)


_QUESTION_MARK = re.compile("[?？]")


def searchable(text: str, limit: int = 240) -> str:
    """What to search for a long message: its questions if it asks any, else its beginning.

    Embedding costs about 1 ms a token, and the average over a long story is near to nothing in particular.
    """
    if len(text) <= limit:
        return text
    asked = [sentence for sentence in sentences(text) if _QUESTION_MARK.search(sentence)]
    return clipped(joined(asked) if asked else text, limit)
