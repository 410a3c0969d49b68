"""How likely it is that a passage answers a question: a probability, from what retrieval and the words show.

No similarity threshold can tell: with the right passage taken out of the index the nearest wrong one scores almost as
high. What tells more is the distance to the next best, how much of the question the passage's words cover, and whether
the passage holds the kind of thing that is asked for. A logistic regression weighs these; its coefficients are fitted
by `python -m bot.dialogue.fit` on labelled questions, one set an embedder, because cosines of different embedders lie
in different ranges. They are kept in `evidence.json`, with what they were fitted on and how well they do.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.dialogue.followups import asked
from bot.dialogue.language import shown
from bot.dialogue.regression import Regression
from bot.dialogue.text import fold, terms, without_filler
from bot.errors import SettingsError
from bot.messages import Language, Passage

COEFFICIENTS = Path(__file__).with_name("evidence.json")

FEATURES = (
    "dense",
    "lead",
    "above",
    "score",
    "lexical",
    "covered",
    "title_covered",
    "characters",
    "asked_kind",
    "same_language",
    "unknown_words",
)
"""In the order of the matrix that `features` makes; the docstring there says what each is."""

GENERIC = "generic"
"""The set for an embedder that was not measured: without the features whose range depends on one."""
GENERIC_FEATURES = tuple(name for name in FEATURES if name not in ("dense", "lead", "above"))

WORDS = "words"
"""The set for a search by words alone, which has no cosines: while the index is made anew."""
WORDS_FEATURES = tuple(name for name in FEATURES if name != "score")
"""How much of the question a passage's words explain stands in for the cosine (`compared`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A fitted regression over some of `FEATURES`."""

    regression: Regression
    by_words: Regression | None = None
    """For passages without a cosine; None where there is no such set."""

    @classmethod
    def load(cls, embedder: str, path: Path = COEFFICIENTS) -> Evidence:
        """The set fitted for this embedder, or the generic one. Reads a small file: not on the event loop.

        :raises SettingsError: the file is not there or not of that form.
        """
        try:
            sets = json.loads(path.read_text(encoding="utf-8"))
            regression = Regression.of(sets.get(embedder) or sets[GENERIC])
            by_words = Regression.of(sets.get(WORDS) or sets[GENERIC])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(f"{path}: not a file of coefficients: {error!r}") from error
        if not set(regression.names) <= set(FEATURES) or not set(by_words.names) <= set(FEATURES):
            raise SettingsError(f"{path}: the coefficients for {embedder!r} do not fit this version's features")
        return cls(regression=regression, by_words=by_words)

    def chances(self, question: str, passages: Sequence[Passage]) -> tuple[float, ...]:
        """For each passage of one search, the probability that it answers the question.

        Of a follow-up together with what it follows, only the follow-up is looked at: with the words of the earlier
        question in it, the passage that answered that one looks right again.
        """
        question = asked(question)
        if not passages:
            return ()
        regression = self.regression
        if self.by_words is not None and not has_cosines(passages):
            regression = self.by_words
        rows = features(question, compared(passages))[:, columns(regression.names)]
        return tuple(map(float, regression.chances(rows)))


def has_cosines(passages: Sequence[Passage]) -> bool:
    """Whether they were compared by meaning: no vector's cosine is exactly 0, for every passage of a search."""
    return any(passage.dense for passage in passages)


def compared(passages: Sequence[Passage]) -> Sequence[Passage]:
    """The same, where they have no cosines with the score in their place: how much of the question their words explain
    says as much across searches as a cosine does, and its distance to the next best says more."""
    return passages if has_cosines(passages) else [replace(passage, dense=passage.score) for passage in passages]


def columns(names: Sequence[str]) -> list[int]:
    """Where these features stand in the matrix that `features` makes."""
    return [FEATURES.index(name) for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What the words of one passage show, computed once."""

    all: frozenset[str]
    title: frozenset[str]
    characters: frozenset[str]
    kinds: frozenset[str]
    language: Language | None


@lru_cache(maxsize=4096)
def _words(title: str, text: str) -> _Words:
    """Cached: the same few passages answer most questions, and they are the company's words, not a person's."""
    of_title = terms(title)
    return _Words(
        all=of_title | terms(text),
        title=of_title,
        characters=_characters(title),
        kinds=held_kinds(text),
        language=shown(text),
    )


def words_of(passage: Passage) -> _Words:
    return _words(passage.question or passage.title, passage.text)


def features(question: str, passages: Sequence[Passage]) -> npt.NDArray[np.float64]:
    """(passages, features), for all passages of one search: each is judged against the others.

    dense: cosine; lead: its distance to the best passage of another document in the same language; above: to the mean
    of the others; score, lexical: as retrieval gives them; covered: share of the question's words in the passage,
    weighted by rarity among these passages; title_covered: share of the words of its question or title in the
    question; characters: share of the question's characters (Chinese) in its question or title; asked_kind: 1 if a
    price, a duration, a place … is asked for and the passage has one, -1 if it has none, else 0; same_language: 0 or 1;
    unknown_words: share of the question's words that no passage has.

    Weights of features that overlap are not to be read one by one: title_covered, for one, counts against a passage
    only because its cosine has already been raised by the same few words.
    """
    wanted = terms(question)
    characters = _characters(question)
    kinds = asked_kinds(question)
    language = shown(question)
    words = [words_of(passage) for passage in passages]
    spread = Counter(term for one in words for term in one.all)
    weight = {term: math.log(1 + (len(passages) + 1) / (count + 0.5)) for term, count in spread.items()}
    unseen = math.log(1 + (len(passages) + 1) / 0.5)

    def mass(some: frozenset[str]) -> float:
        return sum(weight.get(term, unseen) for term in some)

    total = mass(wanted) or 1.0
    unknown = mass(frozenset(term for term in wanted if term not in spread)) / total
    rows = []
    for at, passage in enumerate(passages):
        mine = words[at]
        others = [other.dense for other in passages if other.document != passage.document]
        rivals = [
            other.dense
            for other, theirs in zip(passages, words, strict=True)
            if other.document != passage.document and theirs.language == mine.language
        ]
        rows.append(
            [
                passage.dense,
                passage.dense - max(rivals) if rivals else 0.0,
                passage.dense - sum(others) / len(others) if others else 0.0,
                passage.score,
                passage.lexical,
                mass(wanted & mine.all) / total,
                mass(wanted & mine.title) / (mass(mine.title) or 1.0),
                len(characters & mine.characters) / max(len(characters), 1),
                (1.0 if kinds & mine.kinds else -1.0) if kinds else 0.0,
                float(language is None or mine.language == language),
                unknown,
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(passages), len(FEATURES))


_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_COMMON = frozenset(
    "的了吗呢吧啊呀哦么我你您他她它是在有和跟与就都也还又再很那这要想把被给让对从到去怎什可以能请问多少几哪会不没个一"
)


def _characters(text: str) -> frozenset[str]:
    return frozenset(_HAN.findall(without_filler(text))) - _COMMON or terms(text)


# What is asked for, and what holds it. "When" and "how long" are one: a date and a span answer both.
_KINDS: Mapping[str, tuple[re.Pattern[str], re.Pattern[str]]] = {
    "money": (
        re.compile(r"多少钱|多少錢|价格|价钱|费用|运费|邮费|怎么收费|收费|贵不贵|how much|price|cost|fee\b|charge for"),
        re.compile(r"元|免费|包邮|cny|usd|[$¥€£]|\bfree\b|不收|收费|由您承担|由我们承担|\d+ ?%|we pay|you pay|pays"),
    ),
    "time": (
        re.compile(
            r"多久|几天|多长时间|什么时候|何时|几点|多少天|几时|哪天|几号|期限|时效|过期|还来得及|"
            r"how long|how many days|when\b|how soon|until|deadline|expire|too late|hours?\b"
        ),
        re.compile(
            r"天|小时|分钟|工作日|个月|年|周|当天|次日|立即|立刻|日期|"
            r"\bdays?\b|hours?|minutes?|months?|years?|at once|\d:\d\d"
        ),
    ),
    "place": (
        re.compile(r"哪里|哪儿|在哪|去哪|何处|寄到哪|寄哪|where\b|which (?:address|page|menu)"),
        re.compile(r"进入|打开|页|点「|在「|→|地址|仓|店|\bopen\b|\bgo to\b|under|page|address|tap|appears?"),
    ),
    "number": (
        re.compile(r"多少(?!钱)|几(?:件|个|次|张|位|条|种|家|分)|how many|how often|limit|maximum"),
        re.compile(r"\d|[一二三四五六七八九十两]"),
    ),
    "contact": (
        re.compile(
            r"找谁|联系谁|电话|邮箱|怎么联系|问谁|who (?:do|should|can) (?:i|we)|contact|phone number|e-?mail address"
        ),
        re.compile(r"@|邮件|电话|联系|write to|contact|call"),
    ),
}


def asked_kinds(question: str) -> frozenset[str]:
    folded = fold(question)
    return frozenset(kind for kind, (asks, _) in _KINDS.items() if asks.search(folded))


def held_kinds(text: str) -> frozenset[str]:
    folded = fold(text)
    return frozenset(kind for kind, (_, holds) in _KINDS.items() if holds.search(folded))
