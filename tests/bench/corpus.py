"""Ten thousand passages and questions about them, made from the sample shop: real sentences, many products."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path

import knowledge.samples

_ZH = (
    "蓝牙耳机",
    "电饭煲",
    "扫地机器人",
    "台灯",
    "保温杯",
    "跑步鞋",
    "婴儿车",
    "显示器",
    "投影仪",
    "咖啡机",
    "行李箱",
    "空气炸锅",
)
_EN = ("headphones", "rice cooker", "robot vacuum", "desk lamp", "flask", "running shoes", "stroller", "monitor")


def write_passages(path: Path, count: int) -> None:
    """A CSV of `count` rows of questions and answers, each about one model of one product."""
    rows = list(_rows())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", "answer"])
        for number, (question, answer, language) in zip(range(count), itertools.cycle(rows), strict=False):
            names = _ZH if language == "zh" else _EN
            product = f"{names[number % len(names)]} {chr(65 + number % 26)}{number // len(rows) + 100}"
            writer.writerow([number, f"{product}：{question}", answer])


def questions(count: int, seed: int = 7) -> list[str]:
    """That many questions, all different: what customers of the sample shop ask, each with a number behind it."""
    lines = Path("tests/data/questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [row["question"] for row in map(json.loads, lines) if row["expect"] == "answer"]
    chance = random.Random(seed)
    return [f"{chance.choice(asked)} {number}" for number in range(count)]


def _rows() -> list[tuple[str, str, str]]:
    folder = Path(knowledge.samples.__file__).parent / "shop"
    found = []
    for name, language in (("faq_zh.csv", "zh"), ("faq_en.csv", "en")):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            found += [(row["question"], row["answer"], language) for row in csv.DictReader(file)]
    return found
