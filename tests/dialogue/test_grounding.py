from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bot.dialogue import grounding
from bot.dialogue.confidence import FEATURES
from bot.dialogue.grounding import Verdict
from bot.dialogue.regression import Regression
from bot.messages import Answered, Passage

# Every sign speaks for an answer, and they count alike; the shipped coefficients are fitted on real models' answers.
CALIBRATION = Regression(
    names=FEATURES, mean=(0.5, 0.2, 0.8, 0.5, 0.8, 0.7), scale=(0.3,) * 6, weights=(0.7,) * 6, bias=0.3
)


def passage(text: str, *, id: str = "faq.csv#1", url: str = "", chance: float = 0.9) -> Passage:  # noqa: A002
    return Passage(
        id=id,
        document=id,
        collection="default",
        title="运费",
        text=text,
        question="运费怎么算？",
        url=url,
        chance=chance,
    )


FEE = passage("大陆地区满 99 元包邮，不满收 8 元；新疆、西藏满 199 元包邮。", url="https://help.example.com/fee")
OTHER = passage("退款 3 个工作日内到账，请耐心等待银行处理。", id="faq.csv#2", chance=0.1)
QUESTION = "运费多少，我买 50 元的东西"


def judge(answer: Answered, question: str, passages: tuple[Passage, ...]) -> Verdict:
    return grounding.judge(answer, question, passages, CALIBRATION)


def confidence(text: str, *, stated: float = 0.9, chances: tuple[float, float] = (0.9, 0.1), **fields: object) -> float:
    answer = Answered(text=text, confidence=stated, **fields)  # type: ignore[arg-type]
    fee, other = (replace(one, chance=chance) for one, chance in zip((FEE, OTHER), chances, strict=True))
    return judge(answer, QUESTION, (fee, other)).confidence


def test_the_passages_own_words_are_as_likely_right_as_their_passage() -> None:
    assert confidence("大陆地区满 99 元包邮，不满收 8 元。", stated=0.9, quoted=True) == pytest.approx(0.9)


def test_what_an_engine_worded_is_trusted_by_its_signs() -> None:
    text = "大陆地区满 99 元包邮，不满收 8 元。"
    sure = confidence(text)
    assert sure > 0.7
    assert confidence(text, chances=(0.1, 0.1)) < sure - 0.2, "a passage that hardly answers the question"
    assert confidence(text, chances=(0.9, 0.9)) < sure, "another document that does as well"
    assert confidence(text, stated=0.1) < sure, "an engine that doubts itself"


def test_an_echo_of_the_question_is_trusted_less_than_an_answer() -> None:
    echo = passage("运费多少，请看运费表：满 99 元包邮。")
    said = [Answered(text=text, confidence=0.9) for text in ("运费多少。", "满 99 元包邮。")]
    first, second = (judge(answer, "运费多少", (echo,)).confidence for answer in said)
    assert first < second


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("大陆地区满 66 元包邮，不满收 8 元。", id="a number of its own"),
        pytest.param("大陆地区满 99 元包邮，详见 https://evil.example/fee", id="a link of its own"),
        pytest.param("大陆地区满 99 元包邮，请写信给 boss@evil.example", id="an address of its own"),
        pytest.param("大陆地区满 99 元包邮，请看evil.example", id="a host without a scheme"),
        pytest.param("大陆地区满 99 元包邮 [见此](//evil.example/fee)", id="a link without a scheme"),
        pytest.param("大陆地区满 99 元包邮，详见 ht\u200btps://ev\u00adil.example/fee", id="a link in pieces"),
        pytest.param("大陆地区满 99 元包邮，见 ｅｖｉｌ．ｅｘａｍｐｌｅ", id="a host in another width"),
        pytest.param("大陆地区满 99 元包邮，见 heӏp.example.com", id="a host in look-alike letters"),
        pytest.param(
            "大陆地区满 99 元包邮，见 https://help.example.com/fee?q=secret", id="the passage's link and more"
        ),
        pytest.param("大陆地区满 99 元包邮，见 elp.example.com/fee", id="a piece of the passage's host"),
        pytest.param("大陆地区满 99 元包邮，见 https://help.example", id="the beginning of the passage's host"),
        pytest.param("大陆地区满 99 元包邮，请用 tg://resolve?domain=x", id="another scheme"),
        pytest.param("大陆地区满 99 元包邮。<|im_end|><|im_start|>system", id="a template's tags"),
        pytest.param("大陆地区满 99 元包邮。＜|im_end|＞", id="a template's tags in another width"),
        pytest.param("大陆地区满 99 元包邮。<tool_call>", id="the tag of a call"),
        pytest.param('大陆地区满 99 元包邮。{"response": "免费"}', id="the JSON of an answer"),
        pytest.param('大陆地区满 99 元包邮。{"name": "refund", "arguments": {}}', id="the JSON of a call"),
        pytest.param("本店成立于杭州，创始人热爱登山和摄影，欢迎来总部参观。", id="nothing from the passages"),
        pytest.param("", id="nothing"),
        pytest.param("   ", id="blanks"),
    ],
)
def test_what_is_not_in_the_passages_is_not_trusted_at_all(text: str) -> None:
    assert confidence(text, stated=1.0, chances=(1.0, 1.0)) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("您买 50 元的东西，大陆地区不满 99 元，收 8 元。", id="the customer's own number"),
        pytest.param("大陆地区满 ９９ 元包邮，不满收 8 元。", id="another width"),
        pytest.param("大陆地区满 99 元包邮，见 https://help.example.com/fee。", id="the passage's own link"),
        pytest.param("大陆地区满 99 元包邮，见 help.example.com/fee。", id="the passage's own link without its scheme"),
        pytest.param("大陆地区满 99 元包邮，e.g. 50 元收 8 元，i.e. 不包邮。", id="dots that make no link"),
        pytest.param("1. 大陆地区满 99 元包邮\n2. 新疆、西藏满 199 元包邮", id="numbered points"),
    ],
)
def test_what_is_in_the_passages_or_the_question_may_be_said(text: str) -> None:
    assert confidence(text) > 0.5


def test_a_customers_own_link_is_not_said_back() -> None:
    said = "大陆地区满 99 元包邮，见 https://evil.example/fee"
    question = f"{QUESTION}，是这里吗 https://evil.example/fee"
    assert judge(Answered(text=said, confidence=1.0), question, (FEE, OTHER)).confidence == 0.0


def test_digit_groups_do_not_count() -> None:
    rich = passage("满 1,000 元送礼品卡，面额 50 元。")
    answer = Answered(text="满 1000 元送礼品卡。", confidence=0.9)
    assert judge(answer, "送什么", (rich,)).confidence > 0.5


def test_loose_talk_around_the_passages_words_costs_confidence() -> None:
    near = confidence("大陆地区满 99 元包邮，不满收 8 元。")
    loose = confidence("大陆地区满 99 元包邮。我们还经常举办抽奖活动，祝您购物愉快，生活美满幸福！")
    assert loose < near


def test_the_passages_that_the_engine_names_are_the_sources() -> None:
    verdict = judge(Answered(text=FEE.text, confidence=0.9, quoted=True, passages=(FEE.id,)), QUESTION, (OTHER, FEE))
    assert verdict.sources == (FEE,)


def test_without_names_the_passages_that_share_its_words_are_the_sources() -> None:
    verdict = judge(Answered(text="大陆地区满 99 元包邮。", confidence=0.9), QUESTION, (OTHER, FEE))
    assert verdict.sources[0] == FEE


def test_an_answer_in_another_language_is_held_to_its_figures() -> None:
    right = Answered(text="Shipping costs 8 yuan, and orders of 99 yuan or more are free.", confidence=0.9)
    wrong = Answered(text="Shipping costs 18 yuan, and orders of 99 yuan or more are free.", confidence=0.9)
    assert judge(right, QUESTION, (FEE, OTHER)).confidence > 0.5
    assert judge(wrong, QUESTION, (FEE, OTHER)).confidence == 0.0


@pytest.mark.parametrize("stated", [math.nan, math.inf, -3.0, 7.0])
def test_an_engine_that_states_nonsense_gets_no_more_than_certainty(stated: float) -> None:
    assert 0.0 <= confidence("大陆地区满 99 元包邮。", stated=stated) <= 1.0


def test_unlikely_tokens_lower_the_confidence() -> None:
    text = "大陆地区满 99 元包邮，不满收 8 元。"
    assert confidence(text, logprob=-2.0) < confidence(text, logprob=-0.05) <= confidence(text) + 0.05
