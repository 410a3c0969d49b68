"""What an engine makes of a follow-up, looked at before it is searched for. Pure.

A rewriting decides what is found and nothing else: what the customer wants, whether an answer fits and what a ticket is
about is read from their own words. So the worst that a bad one can do is to find worse passages, and what is plainly
no rewriting is not searched for at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.dialogue.followups import subject
from bot.dialogue.language import shown
from bot.dialogue.rules import ticket_numbers
from bot.dialogue.text import bare, can_be_shown_unchecked, clean, clipped, fold, terms, visible
from bot.messages import FollowUp, Language

MOST_CHARS = 120
"""A longer message says by itself what it is about, and a rewriting would take the engine long."""
EARLIER = 2
"""How many of the customer's messages before it the engine reads."""
_LONGEST = 1.5
_MORE = 30
"""A rewriting may have so many times the characters of all that it is made from, and so many more."""
_NUMBER = re.compile(r"\d+")


def followup_of(text: str, said: Sequence[str], language: Language) -> FollowUp | None:
    """What an engine is asked to rewrite; None for what it had better not be asked."""
    earlier = tuple(clipped(" ".join(line.split()), MOST_CHARS) for line in said if line.strip())[-EARLIER:]
    if not earlier or len(text) > MOST_CHARS:
        return None
    return FollowUp(text=text, earlier=earlier, language=shown(text) or shown(earlier[-1]) or language)


def usable(said: str, followup: FollowUp, *, ticket_prefix: str) -> str:
    """The rewritten question, if it can be one; "" for what is thrown away: what brings along links, markup, ticket
    numbers or figures, is in another language, far longer, or has nothing to do with what was said."""
    text = " ".join(clean(said).split())
    source = "\n".join([*followup.earlier, followup.text])
    if not text or bare(text) == bare(followup.text) or len(text) > _LONGEST * len(source) + _MORE:
        return ""
    if not can_be_shown_unchecked(text) or ticket_numbers(text, prefix=ticket_prefix):
        return ""
    if (shown(text) or followup.language) != followup.language:
        return ""
    if not set(_NUMBER.findall(visible(text))) <= set(_NUMBER.findall(visible(source))):
        return ""
    return text if _of_one_matter(text, followup) else ""


def _of_one_matter(text: str, followup: FollowUp) -> bool:
    """Whether it shares something with the follow-up, where that names anything, else with what was said before."""
    wanted = terms(subject(followup.text)) or terms("\n".join(followup.earlier))
    # Chinese words are pairs of characters: of 「能不能退」 one is left, which 「能不能退货」 has in a pair.
    return bool(terms(text) & wanted) or any(not term.isascii() and term in fold(text) for term in wanted)
