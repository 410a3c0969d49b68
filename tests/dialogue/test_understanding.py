"""How well messages are understood, on labelled ones that nothing was tuned on (split "report")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bot.dialogue.intents import SHIPPED, Intent, read_examples, read_vectors, vectors_path
from bot.dialogue.understanding import WISHES, Understanding
from bot.errors import SettingsError
from bot.retrieval import Retrieval
from tests.dialogue.samples import EMBEDDER, rows


async def test_messages_get_their_intent(understanding: Understanding) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows("intents.jsonl"):
        if row["split"] == "report":
            reading = await understanding.read(row["text"])
            seen[row["intent"], reading.intent] += 1
    total = sum(seen.values())
    accuracy = sum(count for (meant, read), count in seen.items() if meant == read) / total
    recall, precision = {}, {}
    for intent in Intent:
        right = seen[intent, intent]
        recall[intent] = right / sum(count for (meant, _), count in seen.items() if meant == intent)
        precision[intent] = right / max(sum(count for (_, read), count in seen.items() if read == intent), 1)
        print(f"{intent:14} recall {recall[intent]:.2f} precision {precision[intent]:.2f}")
    print(f"accuracy {accuracy:.3f} of {total}")
    assert accuracy >= 0.88
    assert recall[Intent.QUESTION] >= 0.94
    assert all(recall[wish] >= 0.85 and precision[wish] >= 0.88 for wish in WISHES)
    assert precision[Intent.RESET] >= 0.9
    assert all(recall[intent] >= 0.7 for intent in Intent)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("谢谢，那换货呢？", "那换货呢？"),
        ("How do I pay?", "How do I pay?"),
        ("你好", ""),
        ("转人工", ""),
        ("？？", ""),
        ("", ""),
    ],
)
async def test_what_will_be_searched_for_can_be_told_at_a_glance(
    understanding: Understanding, text: str, expected: str
) -> None:
    assert understanding.expected(text) == expected


async def test_questions_to_the_knowledge_are_almost_never_taken_for_a_wish(understanding: Understanding) -> None:
    asked = [row for row in rows("questions.jsonl") if row["expect"] != "ticket"]
    mistaken = [row["question"] for row in asked if (await understanding.read(row["question"])).intent in WISHES]
    print(f"{len(mistaken)} of {len(asked)} questions taken for a wish: {mistaken}")
    assert len(mistaken) <= 0.015 * len(asked)


async def test_wishes_for_a_ticket_or_a_person_are_heard(understanding: Understanding) -> None:
    wished = [row["question"] for row in rows("questions.jsonl") if row["expect"] == "ticket"]
    heard = [text for text in wished if (await understanding.read(text)).intent in WISHES]
    print(f"{len(heard)} of {len(wished)} wishes heard")
    assert len(heard) >= 0.9 * len(wished)


@pytest.mark.parametrize(
    ("text", "intent", "rest"),
    [
        pytest.param("谢谢，那换货呢？", Intent.QUESTION, "那换货呢？", id="thanks, then a question"),
        pytest.param("您好，怎么退货", Intent.QUESTION, "怎么退货", id="a greeting, then a question"),
        pytest.param("Hello! How do I pay? Thanks", Intent.QUESTION, "How do I pay?", id="courtesies on both sides"),
        pytest.param("好的，谢谢！", Intent.THANKS, "", id="nothing but courtesies"),
        pytest.param("？", Intent.GREETING, "", id="nothing but signs"),
        pytest.param("👍", Intent.THANKS, "", id="an emoji among the examples"),
        pytest.param("杯子碎了，转人工", Intent.WANTS_PERSON, "杯子碎了，转人工", id="a wish to the letter in a story"),
    ],
)
async def test_courtesies_around_a_message_do_not_hide_it(
    understanding: Understanding, text: str, intent: Intent, rest: str
) -> None:
    reading = await understanding.read(text)
    assert (reading.intent, reading.rest) == (intent, rest)


@pytest.mark.parametrize(
    "text",
    [
        "怎么投诉？多久处理？",
        "客服几点上班？怎么联系人工客服？",
        "人工费怎么收",
        "how do I file a complaint?",
        "what is a support ticket",
    ],
)
async def test_asking_about_help_is_not_asking_for_it(understanding: Understanding, text: str) -> None:
    assert (await understanding.read(text)).intent not in WISHES


def test_the_shipped_vectors_are_those_of_the_shipped_examples() -> None:
    """If this fails: python -m bot.dialogue.build_intents --knowledge tests.dialogue.samples:opened --embedder …"""
    examples = read_examples(SHIPPED)
    place = vectors_path(SHIPPED.parent, SHIPPED.stem, EMBEDDER)
    vectors = read_vectors(place, examples.fingerprint(EMBEDDER))
    assert vectors is not None and len(vectors) == len(examples.texts)


class CountingKnowledge:
    """Passes on, and counts the lines that were embedded for a start."""

    def __init__(self, inner: Retrieval) -> None:
        self._inner = inner
        self.embedded = 0

    async def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.embedded += len(texts)
        return np.stack([np.full(8, float(len(text) % 7)) + np.eye(8)[len(text) % 8] for text in texts]).astype(
            np.float32
        )

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


LINES = "\n".join(f'[{intent}]\nzh = ["{intent} 一", "{intent} 二"]' for intent in Intent)


async def test_an_edited_copy_is_embedded_once_and_kept(knowledge: Retrieval, tmp_path: Path) -> None:
    edited = tmp_path / "intents.toml"
    edited.write_text(LINES, encoding="utf-8")
    counting = CountingKnowledge(knowledge)
    for _ in range(2):
        await Understanding.load(counting, edited, embedder=EMBEDDER, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert counting.embedded == 18
    edited.write_text(LINES.replace("一", "三"), encoding="utf-8")
    await Understanding.load(counting, edited, embedder=EMBEDDER, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert counting.embedded == 36


async def test_a_spoilt_cache_is_made_again(knowledge: Retrieval, tmp_path: Path) -> None:
    edited = tmp_path / "intents.toml"
    edited.write_text(LINES, encoding="utf-8")
    counting = CountingKnowledge(knowledge)
    place = vectors_path(tmp_path / "cache", "intents", EMBEDDER)
    await Understanding.load(counting, edited, embedder=EMBEDDER, cache=tmp_path / "cache")  # type: ignore[arg-type]
    place.write_bytes(place.read_bytes()[:100])
    await Understanding.load(counting, edited, embedder=EMBEDDER, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert counting.embedded == 36


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param("[greetings]\nzh = ['你好']", "greetings", id="an unknown intent"),
        pytest.param(LINES + "\nen = 'yo'", "question", id="a line where a list belongs"),
        pytest.param(LINES.replace('"help 一", ', ""), "help", id="too few lines"),
        pytest.param("[greeting", "intents.toml", id="no TOML"),
    ],
)
def test_a_mistake_in_the_examples_is_one_clear_line(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "intents.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_examples(path)
    assert named in str(caught.value) and str(path) in str(caught.value)
