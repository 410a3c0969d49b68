import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.personal_data import find
from bot.privacy import Redactor, mask
from tests.bot.pii_items import full_width, items

SHARED_CASES = Path(__file__).parents[3] / "shared" / "data" / "zh_cn_pii_cases.jsonl"


@pytest.mark.parametrize("seed", [29, 1027])
def test_recall_and_precision_on_made_up_sentences(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = found = right = 0
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for item in items(2400, seed):
        findings = find(item.text)
        for start, end in item.personal:
            wanted += 1
            if any(f.start <= start + 3 and f.end >= end for f in findings):
                continue
            missed[f"{item.kind}: {item.text}"] += 1
        for finding in findings:
            found += 1
            if any(finding.start < end and start < finding.end for start, end in item.personal):
                right += 1
            else:
                wrong[f"{item.kind}: {item.text} -> {finding.kind}"] += 1
    recall, precision = 1 - missed.total() / wanted, right / found
    with capsys.disabled():
        print(f"\nseed {seed}: {wanted} wanted, recall {recall:.4f}; {found} found, precision {precision:.4f}")
    assert wanted > 1400
    assert recall >= 0.99, list(missed)[:20]
    assert precision >= 0.98, list(wrong)[:20]


def test_the_shared_cases_are_counted_right(capsys: pytest.CaptureFixture[str]) -> None:
    """The cases of cn_pii_anonymization lie beside the project and are not part of it."""
    if not SHARED_CASES.exists():
        pytest.skip("../shared/data/zh_cn_pii_cases.jsonl is not on this machine")
    cases = [json.loads(line) for line in SHARED_CASES.read_text().splitlines()]
    wrong = [case["text"] for case in cases if len(find(case["text"])) != case["expected_count"]]
    with capsys.disabled():
        print(f"\nshared cases: {len(cases) - len(wrong)} of {len(cases)} right")
    assert not wrong


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        pytest.param("我的手机号是13812345678谢谢", "我的手机号是138****5678谢谢", id="mobile-beside-chinese"),
        pytest.param("＋８６　１３８－１２３４－５６７８。", "+86 138****5678。", id="full-width"),
        pytest.param("138 1234 5678或13987654321", "138****5678或139****4321", id="two-mobiles"),
        pytest.param("13812345678-13987654321", "138****5678-139****4321", id="two-mobiles-joined"),
        pytest.param("电话（010）6789-1234转801", "电话010-****1234转801", id="landline"),
        pytest.param("0755-88886666-8001", "0755-****6666-8001", id="landline-with-extension"),
        pytest.param("+1 (415) 555-2671 ok", "+1****2671 ok", id="american"),
        pytest.param("call +44 7911 123456 2 times", "call +44****3456 2 times", id="british-then-a-quantity"),
        pytest.param("电话12345678", "电话****678", id="labelled-local-number"),
        pytest.param("身份证11010119900101123x号", "身份证[id card]号", id="id-card"),
        pytest.param("110101900101123", "[id card]", id="old-id-card"),
        pytest.param("身份证号 123456789012345678", "身份证号 [id card]", id="mistyped-id-card-with-its-name"),
        pytest.param("卡号 4111 1111 1111 1111。", "卡号 [card ****1111]。", id="bank-card"),
        pytest.param("6222021234567890127", "6222021234567890127", id="no-bank-card-by-its-check-digit"),
        pytest.param("邮箱zhang.san@qq.com请回复", "邮箱z***@qq.com请回复", id="email"),
        pytest.param("ｚｈａｎｇ＠ｑｑ．ｃｏｍ，Ａ", "z***@qq.com，Ａ", id="full-width-email-leaves-the-rest"),
        pytest.param("13812345678@qq.com", "1***@qq.com", id="email-of-digits"),
        pytest.param("护照号E12345678", "护照号[passport]", id="passport"),
        pytest.param("货号E12345678", "货号E12345678", id="like-a-passport-without-its-name"),
        pytest.param("车牌京A·12345", "车牌京A***45", id="plate"),
        pytest.param("TICKET-13812345678", "TICKET-13812345678", id="ticket"),
        pytest.param(
            "订单号：13812345678，手机13812345678", "订单号：13812345678，手机138****5678", id="order-and-mobile"
        ),
        pytest.param("编号A4111111111111111", "编号A4111111111111111", id="letter-before"),
        pytest.param("13800138000或者座机88886666", "138****8000或者座机****666", id="mobile-or-landline"),
        pytest.param("1 3 8 1 2 3 4 5 6 7 8", "138****5678", id="digit-by-digit"),
        pytest.param(" ".join("1381234567" * 5), " ".join("1381234567" * 5), id="a-long-row-of-digits"),
        pytest.param("会议号：987-654-3210", "会议号：987-654-3210", id="meeting"),
        pytest.param("01-02-03-04-05", "01-02-03-04-05", id="row-of-numbers"),
        pytest.param("尺寸 300 500 1200", "尺寸 300 500 1200", id="quantities"),
        pytest.param("0.13812345678", "0.13812345678", id="fraction"),
        pytest.param("官方热线400-820-8820", "官方热线400-820-8820", id="free-call"),
    ],
)
def test_personal_data_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@given(st.text(alphabet="0123456789 -+().@aX京A护照电话订单号:：，\u200b１２", max_size=80))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.one_of(st.text(max_size=100), st.integers(0, 10**6).flatmap(lambda seed: st.just(next(items(1, seed)).text))))
def test_the_rest_of_a_text_stays_as_it_was(text: str) -> None:
    position, masked = 0, mask(text)
    expected = ""
    for finding in find(text):
        assert position <= finding.start < finding.end <= len(text)
        expected += text[position : finding.start] + finding.mask
        position = finding.end
    assert masked == expected + text[position:]


def test_a_mask_hides_digits_of_every_number() -> None:
    for item in items(2000, 7):
        for finding in find(item.text):
            raw = re.sub(r"\D", "", item.text[finding.start : finding.end])
            shown = re.sub(r"\D", "", finding.mask)
            if finding.kind != "email":
                assert len(raw) - len(shown) >= (2 if finding.kind == "plate" else 3), item.text


def test_full_width_changes_nothing_about_what_is_found() -> None:
    for item in items(1000, 11):
        if "\u2014" not in item.text:
            assert [f.kind for f in find(full_width(item.text))] == [f.kind for f in find(item.text)], item.text


def test_a_message_takes_less_than_a_millisecond() -> None:
    personal = "".join(item.text + "。" for item in items(8, 3))
    text = (personal + "请问我上周买的那双鞋什么时候能发货，麻烦尽快帮我看看。" * 20)[:500]
    assert len(find(text)) >= 4
    mask(text)  # the numbering plans of the countries in it are loaded once
    assert min(_seconds(text) for _ in range(50)) < 0.001


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1 ",
        "12 ",
        "4111 ",
        "138-",
        "+12345678",
        "13812345678,",
        "a@",
        "a.",
        "x@a.",
        "电话",
        "京A",
        "(1)",
        ") ",
        "１２３４ ",
        "E1234567 ",
    ],
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = "护照" + piece * (100_000 // len(piece)) + "@1"
    # The best of three: other processes on the machine make every one of them slower.
    assert any(_seconds(text) < 1 for _ in range(3))


def _seconds(text: str) -> float:
    started = time.process_time()
    mask(text)
    return time.process_time() - started


def test_the_operator_can_switch_masking_off() -> None:
    assert Redactor(enabled=True).redact("电话13812345678") == "电话138****5678"
    assert Redactor(enabled=False).redact("电话13812345678") == "电话13812345678"
