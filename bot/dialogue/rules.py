"""What the words say for certain: commands, ticket numbers, a plain yes or no. Pure; no vector, no model."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from bot.dialogue.text import bare, fold
from bot.messages import IncomingMessage, MessageKind

# -- Commands --

_SLASH = re.compile(r"/([a-z_]+)(?:@\w+)?(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)


def command_of(message: IncomingMessage) -> tuple[str, str] | None:
    """(name, rest) of a command, also of one typed where the platform has none; None for anything else."""
    if message.kind is MessageKind.COMMAND:
        return message.command.lstrip("/").casefold(), message.text.strip()
    if message.kind is MessageKind.STOP:
        return "stop", ""
    match = _SLASH.fullmatch(unicodedata.normalize("NFKC", message.text).strip())
    if match and message.kind in (MessageKind.TEXT, MessageKind.EDIT):
        return match[1].casefold(), (match[2] or "").strip()
    return None


def without_command(text: str) -> str:
    """What history remembers of a message, without the slash and the name it may begin with."""
    match = _SLASH.fullmatch(unicodedata.normalize("NFKC", text).strip())
    return (match[2] or "").strip() if match else text


_RESETS = frozenset({"重新开始", "重新来", "重新来过", "从头开始", "reset", "start over"})


def is_reset(message: IncomingMessage) -> bool:
    """Exactly one of the words that start the conversation over. Looser wordings are left to the examples."""
    if message.kind is MessageKind.ACTION:
        return False
    command = command_of(message)
    return command[0] == "reset" if command else bare(message.text) in _RESETS


# -- Ticket numbers --

_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")


def ticket_numbers(text: str, *, prefix: str = "TICKET") -> tuple[str, ...]:
    """The ticket numbers in a text, upper case, each once, in order. Width, case and kind of dash do not count."""
    plain = _DASHES.sub("-", unicodedata.normalize("NFKC", text))
    prefixes = "|".join(re.escape(p) for p in dict.fromkeys([prefix.upper(), "TICKET"]))
    # Letters of other scripts may stand right beside it: 「查TICKET-7F3K进度」.
    found = re.findall(rf"(?<![0-9A-Za-z])((?:{prefixes})\s?-\s?([0-9A-Z]+))", plain, re.IGNORECASE)
    return tuple(
        dict.fromkeys(
            re.sub(r"\s", "", number).upper()
            for number, tail in found
            # "ticket-based" and "ticket-holder" are words; a number that somebody types in small letters has a digit.
            if tail.upper() == tail or any(char.isdigit() for char in tail) or len(tail) >= 8
        )
    )


def without_ticket_numbers(text: str, *, prefix: str = "TICKET") -> str:
    """What is said around the numbers."""
    plain = _DASHES.sub("-", unicodedata.normalize("NFKC", text))
    for number in ticket_numbers(text, prefix=prefix):
        head, _, tail = number.rpartition("-")
        plain = re.sub(rf"{re.escape(head)}\s?-\s?{re.escape(tail)}", " ", plain, flags=re.IGNORECASE)
    return plain.strip()


# -- Yes and no --

# Of two that begin alike, the longer stands first: each is matched atomically (`_made_of`).
_YES = (
    "好+的?|行|可以|嗯+|恩+|对|是的?|要的?|需要|麻烦(?:你|您)?|请|没问题|那就|okay|okey|o+k+|yes|yeah|yep|yup|y|sure|"
    "please|alright|all right|of course|go ahead|do (?:it|that|so)|sounds good|i do|i would|"
    "that would be (?:great|good|nice)"
)
_WISH = (
    "(?:那就|就|请|麻烦)?(?:你|您)?(?:帮我|给我|替我)?(?:建|开|登记|提交|创建|申请|来|提)(?:一个|一张|一份|个|张|一下)?(?:工单|单子|单)?|"
    "(?:open|create|raise|make|file|register|log|submit) (?:one|it|that|a ticket|the ticket|a case)(?: for me)?"
)
_THANKS = "谢谢(?:你|您|了)?|多谢|感谢|辛苦了?|拜托了?|thanks?(?: you)?(?: a lot| very much| so much)?|thx|cheers"
_NO = (
    "(?:先|暂时|还是)?不(?:用|需要|要|必|了)?(?:麻烦|登记|建)?|算了|没事|免了|nope|not now|not really|no need|"
    "no,? (?:thanks|thank you)|no+|nah|never ?mind|n|don'?t bother|that'?s ok(?:ay)?|i'?m good|maybe later"
)
_PARTICLES = "吧|呀|啊|哦|喔|哈|呢|了|的|嘛|啦|哇"


def _made_of(*words: str) -> re.Pattern[str]:
    """Nothing but these words. Atomic, because 「嗯嗯嗯嗯」 can be divided in so many ways that trying them all before
    saying no took seconds."""
    return re.compile(rf"(?:(?>{'|'.join(words)}) ?)+")


_AGREES = _made_of(_YES, _WISH, _THANKS, _PARTICLES)
_AGREES_HARD = re.compile(rf"(?:{_YES}|{_WISH})")
_DECLINES = _made_of(_NO, _THANKS, _PARTICLES)
_DECLINES_HARD = re.compile(rf"(?:{_NO})")
_ONLY_THANKS = _made_of(_THANKS, _PARTICLES)
# What agrees to an action that was shown: no wish for a ticket, which would be another action.
_CONFIRM = f"{_YES}|确认|确定|同意|(?:你|您)?(?:帮我)?去?办理?|confirm(?:ed)?|agreed?|i (?:confirm|agree)|correct"
_CONFIRMS = _made_of(_CONFIRM, _THANKS, _PARTICLES)
_CONFIRMS_HARD = re.compile(rf"(?:{_CONFIRM})")
_CLAUSES = re.compile("[。！？!?…；;，,、~～\n]+|\\.(?:\\s|$)")

# Longer than any plain yes; keeps the patterns above, which overlap, from being tried on an essay.
_LONGEST_CLAUSE = 40


def clauses(text: str) -> tuple[str, ...]:
    """The pieces between punctuation marks, outer blanks cut, none empty."""
    return tuple(piece for piece in (part.strip() for part in _CLAUSES.split(text)) if bare(piece))


def consent(text: str) -> Literal["yes", "no"] | None:
    """A plain answer to an offer, thanks and particles around it or not; None when anything else is said.

    After a "yes" the customer may add how to reach them or the order it is about: 「好的，我的电话是 138…」.
    """
    parts = _plain_clauses(text)
    if not parts or len(parts) > 6:
        return None
    yes = no = other = False
    for part in parts:
        short = len(part) <= _LONGEST_CLAUSE
        if short and _DECLINES_HARD.match(part) and _DECLINES.fullmatch(part):
            no = True
        elif short and _AGREES_HARD.match(part) and _AGREES.fullmatch(part):
            yes = True
        elif not (short and _ONLY_THANKS.fullmatch(part)) and not (yes and _mentions_details(part)):
            other = True
    if other or yes == no:
        return None
    return "yes" if yes else "no"


def confirms(text: str) -> bool:
    """A plain yes to an action that was shown in full, thanks and particles around it or not.

    Stricter than `consent`: whatever is added may correct the action (「好的，订单号是 1002」), and nobody agreed to
    that; 「确定？」 asks back.
    """
    if re.search("[?？]", text):
        return False
    parts = _plain_clauses(text)
    agreed = [part for part in parts if not _ONLY_THANKS.fullmatch(part)]
    return 0 < len(agreed) <= len(parts) <= 6 and all(
        len(part) <= _LONGEST_CLAUSE and _CONFIRMS_HARD.match(part) and _CONFIRMS.fullmatch(part) for part in agreed
    )


def _plain_clauses(text: str) -> list[str]:
    """The clauses, folded, without signs."""
    parts = [fold(part).replace("’", "'") for part in clauses(text)]
    return [" ".join("".join(c if c.isalnum() or c == "'" else " " for c in part).split()) for part in parts]


def _mentions_details(part: str) -> bool:
    """A telephone number, an order number or a mail address, or the words that announce one."""
    return len(re.findall(r"\d", part)) >= 5 or bool(re.search("电话|手机|邮箱|订单|微信|phone|e?mail|order", part))
