"""What customers asked in vain: unsolved questions in groups of one meaning, and what agents know about them. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.dialogue.text import bare
from bot.history.unsolved import Reason, Unsolved
from bot.messages import Outcome
from bot.privacy import mask

SIMILAR = 0.6
"""Mean cosine of two groups, past which they become one. Cosines of different embedders lie in different bands (e5: .8
to .95 whatever the texts), so they are taken from the middle of ordinary support questions instead of from the origin:
the same figure then fits all (`tests/bench/grouping.py`): with e5, of the pairs put together .94 belong together, and
.87 of those that do are put together; with use-multilingual .70 and .66."""
MAX_QUESTIONS = 2000
"""Different questions grouped at once: 32 MB of cosines, some seconds."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Questions of one meaning."""

    id: str
    """Stays as long as its oldest question is among those looked at."""
    asked: tuple[Unsolved, ...]
    """Oldest first."""
    wordings: tuple[str, ...]
    """Different ways it was asked, the one nearest to all others first. Not masked."""

    @property
    def question(self) -> str:
        """The wording that stands for all."""
        return self.wordings[0]

    @property
    def people(self) -> int:
        return len({one.person for one in self.asked})

    @property
    def reasons(self) -> dict[Reason, int]:
        """How many of the questions each reason applies to; a question can have several."""
        counted = Counter(reason for one in self.asked for reason in one.reasons)
        reasons: tuple[Reason, ...] = ("refused", "down", "person")
        return {reason: counted[reason] for reason in reasons}

    @property
    def collections(self) -> tuple[str, ...]:
        """Where the questions may be answered from."""
        return tuple(sorted({name for one in self.asked for name in one.collections}))

    @property
    def tickets(self) -> tuple[str, ...]:
        return tuple(number for one in self.asked for number in one.tickets)


def wordings(asked: Sequence[Unsolved]) -> list[str]:
    """The different questions, in the order they were first asked: what has to be embedded, once each."""
    found: dict[str, str] = {}
    for one in asked:
        found.setdefault(bare(one.question), one.question)
    return list(found.values())


def group(asked: Sequence[Unsolved], vectors: Matrix, middle: npt.NDArray[Any]) -> tuple[Group, ...]:
    """Groups, the one asked most first; the same for the same questions, always.

    :param vectors: one row a wording of `wordings(asked)`.
    :param middle: the mean of the vectors of ordinary questions.
    """
    texts = wordings(asked)
    cosines = cosines_of(vectors, middle)
    groups = []
    for members in clusters(cosines, SIMILAR):
        # The wording that is nearest to all others; the oldest of equals.
        order = sorted(members, key=lambda at: (-float(cosines[at, members].sum()), at))
        keys = {bare(texts[at]) for at in members}
        own = tuple(one for one in asked if bare(one.question) in keys)
        groups.append(Group(id=_id(own[0]), asked=own, wordings=tuple(texts[at] for at in order)))
    return tuple(sorted(groups, key=lambda one: (-len(one.asked), -one.people, one.asked[0].at, one.id)))


def cosines_of(vectors: Matrix, middle: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Of each with each, as seen from the middle; for `clusters`."""
    moved = vectors.astype(np.float64) - middle
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    # Rounded: how a machine adds up must not decide who belongs together.
    cosines: npt.NDArray[np.float64] = np.round(moved @ moved.T, 4)
    return cosines


def clusters(cosines: npt.NDArray[np.float64], least: float) -> list[list[int]]:
    """Joins the two groups whose members are nearest on average, until no two are near enough; indexes, sorted.

    Not the nearest members: a chain of questions, each a little like the one before, would become one group.
    """
    count = len(cosines)
    near = cosines.copy()
    np.fill_diagonal(near, -np.inf)
    members = [[at] for at in range(count)]
    best = near.argmax(axis=1) if count else np.array([], dtype=np.int64)
    values = near[np.arange(count), best]
    while count and values.max() >= least:
        kept = int(values.argmax())
        gone = int(best[kept])
        sizes = len(members[kept]), len(members[gone])
        row = (near[kept] * sizes[0] + near[gone] * sizes[1]) / sum(sizes)
        row[kept] = row[gone] = -np.inf
        near[kept], near[:, kept] = row, row
        near[gone], near[:, gone] = -np.inf, -np.inf
        members[kept] = sorted(members[kept] + members[gone])
        members[gone] = []
        # Means only fall below the larger of both: who looked elsewhere still looks there.
        stale = np.flatnonzero((best == kept) | (best == gone))
        for at in {kept, gone, *stale.tolist()}:
            best[at] = near[at].argmax()
            values[at] = near[at, best[at]]
    return sorted((one for one in members if one), key=lambda one: one[0])


def _id(oldest: Unsolved) -> str:
    digest = hashlib.sha256(oldest.turn.encode()).digest()
    return "Q-" + base64.b32encode(digest)[:6].decode()


def solved(asked: Unsolved, outcome: Outcome, text: str) -> bool:
    """Whether the question, asked again, got an answer: and another one than that which did not help."""
    return outcome is Outcome.ANSWERED and (not asked.answer or bare(text) != bare(asked.answer))


# --- Drafts -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A knowledge entry for a person to read, correct and approve. Personal data in it is masked."""

    question: str
    answer: str
    also_asked: tuple[str, ...]
    others: tuple[str, ...]
    """What agents answered too, and is not in it."""
    masked: bool
    """Whether something was: a person has to put back what belongs there, such as the company's own number."""

    def markdown(self, comment: Mapping[str, str]) -> str:
        """A file that `kefu knowledge sync` reads; `comment` goes into its front matter, which is not searched."""
        front = {"title": self.question, **comment}
        front |= {f"also asked {at}": text for at, text in enumerate(self.also_asked, start=1)}
        lines = [f"{name}: {_line(text)}" for name, text in front.items()]
        return "\n".join(["---", *lines, "---", f"# {_line(self.question)}", "", self.answer, ""])


def draft(question: str, also_asked: Sequence[str], replies: Sequence[str]) -> Draft:
    """From what an agent answered. Of several answers, the longest: the one that resolves a ticket explains, while
    "one moment" and "you're welcome" stand around it. The others are handed back to be shown.

    :raises ValueError: there are no replies.
    """
    if not replies:
        raise ValueError("a draft needs an answer")
    # The last of equals.
    at = max(range(len(replies)), key=lambda index: (len(replies[index]), index))
    answer = replies[at].strip()
    texts = [question, answer]
    return Draft(
        question=mask(question),
        answer=mask(answer),
        also_asked=tuple(map(mask, also_asked)),
        others=tuple(mask(reply) for index, reply in enumerate(replies) if index != at),
        masked=any(mask(text) != text for text in texts),
    )


def _line(text: str) -> str:
    return " ".join(text.split())
