from collections import Counter
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.rendering.safe_text import utf16_length
from adapters.rendering.telegram import ENTITY_LIMIT, MESSAGE_LIMIT, Entity, Part, render
from tests.adapters.rendering.strategies import WORDS, anything, document, paragraph, visible

limits = st.sampled_from([16, 50, 200, MESSAGE_LIMIT])


def of(part: Part, entity: Entity) -> str:
    """The text under an entity; fails where it would tear a surrogate pair."""
    units = part.text.encode("utf-16-le")
    return units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


def only(markdown: str) -> Part:
    (part,) = render(markdown)
    return part


def styles(markdown: str) -> list[tuple[str, str]]:
    part = only(markdown)
    return [(entity.type, of(part, entity)) for entity in part.entities]


def check(part: Part, limit: int) -> None:
    assert 0 < utf16_length(part.text) <= limit
    assert part.text == part.text.rstrip()
    assert 0 < utf16_length(part.plain) <= limit
    assert len(part.entities) <= ENTITY_LIMIT
    for entity in part.entities:
        assert entity.offset >= 0
        assert entity.length >= 1
        assert entity.offset + entity.length <= utf16_length(part.text)
        assert of(part, entity).strip()
        assert (entity.type == "text_link") == bool(entity.url)
        assert entity.url == "" or entity.url.lower().startswith(("http://", "https://"))
    ranges = [(entity.offset, entity.offset + entity.length, entity.type) for entity in part.entities]
    assert ranges == sorted(ranges, key=lambda found: (found[0], -found[1]))
    for (a, b, outer), (c, d, inner) in combinations(ranges, 2):
        assert b <= c or (a <= c and d <= b), "entities overlap without nesting"
        if c < b:
            assert outer not in {"pre", "code"} and inner != outer
            assert not (outer == "text_link" and inner in {"code", "pre"})


@given(anything, limits)
@settings(max_examples=60, deadline=None)
@example("```\n" + "x" * 60, 16)
@example("~~a" * 200, MESSAGE_LIMIT)
@example("*x **y*****z**", MESSAGE_LIMIT)
def test_parts_hold_the_whole_text_within_every_limit(markdown: str, limit: int) -> None:
    parts = render(markdown, limit=limit)
    for part in parts:
        check(part, limit)
    whole = "".join(part.text for part in render(markdown, limit=10**7))
    assert visible("".join(part.text for part in parts)) == visible(whole)


@given(document)
@settings(max_examples=25, deadline=None)
def test_no_word_of_a_document_is_lost(markdown: str) -> None:
    shown = visible("".join(part.text for part in render(markdown)))
    for word in WORDS:
        assert shown.count(word) == visible(markdown).count(word), word


@given(st.lists(paragraph, min_size=1, max_size=6).map("\n\n".join), limits)
@settings(max_examples=40, deadline=None)
def test_a_style_that_fits_into_a_part_is_never_cut(markdown: str, limit: int) -> None:
    (whole,) = render(markdown, limit=10**6)
    if len(whole.entities) >= ENTITY_LIMIT:
        return
    kept = Counter((e.type, e.url, of(whole, e)) for e in whole.entities if e.length <= limit)
    found = Counter((e.type, e.url, of(part, e)) for part in render(markdown, limit=limit) for e in part.entities)
    assert kept - found == Counter()


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param("**粗** *斜* ~~删~~ `码`", ["bold 粗", "italic 斜", "strikethrough 删", "code 码"], id="inline"),
        pytest.param("**重点：**请在七天内申请", ["bold 重点："], id="bold-before-chinese-text"),
        pytest.param("请看**“说明”**一节", ["bold “说明”"], id="bold-between-ideographs"),
        pytest.param("## 标题", ["bold 标题"], id="heading"),
        pytest.param("# a **b** c", ["bold a b c"], id="bold-in-heading-once"),
        pytest.param("**a `b` c**", ["bold a", "code b", "bold c"], id="no-emphasis-over-code"),
        pytest.param("[`x`](https://a.com)", ["text_link x"], id="no-code-in-link"),
        pytest.param("*x **y***", ["italic x y", "bold y"], id="nested-styles"),
        pytest.param("尺寸100*200*300mm", [], id="a-measure-is-no-emphasis"),
        pytest.param("报表_2024_终版", [], id="a-file-name-is-no-emphasis"),
        pytest.param("> 引用\n> > 内", ["blockquote 引用\n> 内"], id="quote-once"),
        pytest.param("a\n```\nopen **fence", ["pre open **fence"], id="unbalanced-fence"),
    ],
)
def test_styles_become_entities(markdown: str, expected: list[str]) -> None:
    assert [f"{kind} {text}" for kind, text in styles(markdown)] == expected


@pytest.mark.parametrize(
    ("markdown", "text", "urls"),
    [
        pytest.param("[官网](https://a.com/x)", "官网", ["https://a.com/x"], id="https"),
        pytest.param("[x](javascript:alert(1))", "x", [], id="script"),
        pytest.param("[x](/help)", "x", [], id="relative"),
        pytest.param("[x](tg://user?id=1)", "x", [], id="mention-of-a-user"),
        pytest.param("![图](https://a.com/i.png)", "图", ["https://a.com/i.png"], id="image"),
        pytest.param("![图](data:image/png;base64,AAAA)", "图", [], id="image-inside"),
        pytest.param("[写信](mailto:help@a.com)", "写信 (help@a.com)", [], id="mail-address-is-shown"),
        pytest.param("[400](tel:4001234567)", "400 (4001234567)", [], id="phone-number-is-shown"),
        pytest.param("<https://a.com/x>", "https://a.com/x", [], id="address-is-its-own-link"),
        pytest.param(
            "[https://bank.com](https://evil.com/)", "https://bank.com (https://evil.com/)", [], id="pretence"
        ),
        pytest.param("[www.bank.com](https://bank.com/x)", "www.bank.com", ["https://bank.com/x"], id="same-host"),
        pytest.param("[说明]: 七天内", "[说明]: 七天内", [], id="no-hidden-definition"),
        pytest.param("<b>x</b>", "<b>x</b>", [], id="html-is-text"),
        pytest.param("a<br>b", "a\nb", [], id="break-tag"),
        pytest.param("a&#x202e;b&#8203;c", "abc", [], id="hidden-by-entity"),
    ],
)
def test_links_lead_where_they_say(markdown: str, text: str, urls: list[str]) -> None:
    part = only(markdown)
    assert part.text == text
    assert [entity.url for entity in part.entities if entity.type == "text_link"] == urls


def test_lists_are_marked_and_indented() -> None:
    part = only("材料：\n- 发票\n  - 原件\n- 订单号\n\n3. 三\n4. 四")
    assert part.text == "材料：\n• 发票\n    • 原件\n• 订单号\n\n3. 三\n4. 四"


def test_code_keeps_its_language_and_its_indentation() -> None:
    part = only("- 试试\n  ```python\n  if x:\n      y()\n  ```\n  好了")
    assert part.text == "• 试试\nif x:\n    y()\n    好了"
    (entity,) = part.entities
    assert (entity.type, entity.language, of(part, entity)) == ("pre", "python", "if x:\n    y()")


def test_a_narrow_table_is_aligned_in_fixed_width() -> None:
    part = only("| 项目 | 价格 |\n|:--|--:|\n| 苹果 | 5 |\n| a | 10.00 |")
    assert part.text.split("\n") == ["项目 |  价格", "-----+------", "苹果 |     5", "a    | 10.00"]
    assert part.entities == (Entity(type="pre", offset=0, length=utf16_length(part.text)),)


def test_a_wide_table_is_told_line_by_line() -> None:
    part = only("| 城市 | Delivery |\n|---|---|\n| 上海 | " + "很" * 40 + " |\n| 北京 | [见](https://a.com) |")
    assert part.text == "城市：上海\nDelivery: " + "很" * 40 + "\n\n城市：北京\nDelivery: 见"
    assert [(entity.type, entity.url) for entity in part.entities] == [("text_link", "https://a.com")]


def test_plain_text_shows_the_addresses_that_entities_hid() -> None:
    part = only("见[官网](https://a.com/x)和👍[帮助](https://b.com)。")
    assert part.text == "见官网和👍帮助。"
    assert part.plain == "见官网 (https://a.com/x)和👍帮助 (https://b.com)。"


def test_an_address_that_does_not_fit_is_left_out_of_the_plain_text() -> None:
    (part,) = render("[x](https://a.com/" + "y" * 60 + ")", limit=40)
    assert part.plain == "x"


@pytest.mark.parametrize("blank", ["", " \n\t ", "\u200b\u202e", "```\n```", "# ", "> "])
def test_what_shows_nothing_has_no_parts(blank: str) -> None:
    assert render(blank) == ()


def test_a_message_is_measured_in_utf16() -> None:
    first, second = render("👍" * 2048 + "好")
    assert utf16_length(first.text) == MESSAGE_LIMIT
    assert second.text == "好"


@pytest.mark.parametrize(
    ("markdown", "first"),
    [
        pytest.param("第一段。第二句。\n\n第三段很长很长", "第一段。第二句。", id="paragraph"),
        pytest.param("甲甲甲甲甲\n乙乙乙乙乙\n丙丙丙丙丙", "甲甲甲甲甲\n乙乙乙乙乙", id="line"),
        pytest.param("一二三四五六。七八九十一二三四五六", "一二三四五六。", id="chinese-sentence"),
        pytest.param("It works. Then more text", "It works.", id="sentence"),
        pytest.param("version 3.5 of something", "version 3.5 of", id="no-end-in-a-number"),
        pytest.param("一二三四五六七八九十一二三，四五六", "一二三四五六七八九十一二三，", id="closing-mark-stays"),
        pytest.param("aaaaaaa bbbbbbb ccccccc", "aaaaaaa bbbbbbb", id="word"),
        pytest.param("a" * 14 + "👨‍👩‍👧", "a" * 14, id="joined-emoji"),
        pytest.param("a" * 15 + "🇨🇳", "a" * 15, id="flag"),
        pytest.param("e" * 15 + "e\u0301x", "e" * 15, id="accent"),
        pytest.param("aaaa https://a.com/bcd ok", "aaaa", id="address"),
        pytest.param("好好好好 **一二三。四五六。七八九十** 好", "好好好好", id="style"),
    ],
)
def test_a_text_is_cut_where_a_reader_would_pause(markdown: str, first: str) -> None:
    assert render(markdown, limit=16)[0].text == first


def test_code_goes_on_in_the_next_part() -> None:
    parts = render("before\n```sql\n" + "select 1;\n" * 1000 + "```\nafter")
    assert len(parts) == 3
    for part in parts:
        check(part, MESSAGE_LIMIT)
        assert [(entity.type, entity.language) for entity in part.entities] == [("pre", "sql")]
    assert parts[0].text.startswith("before\n\nselect 1;")
    assert parts[-1].text.endswith("select 1;\n\nafter")
    assert all(of(part, part.entities[0]).replace("select 1;", "").strip() == "" for part in parts)


def test_more_styles_than_telegram_takes_keep_their_text() -> None:
    part = only(" ".join(f"**{number}**" for number in range(150)))
    assert len(part.entities) == ENTITY_LIMIT
    assert part.text.split() == [str(number) for number in range(150)]
    assert of(part, part.entities[-1]) == "99"


@pytest.mark.parametrize(
    "markdown",
    [
        pytest.param(">" * 30_000 + "x", id="quotes"),
        pytest.param("- " * 15_000 + "x", id="lists"),
        pytest.param("\n".join("  " * depth + "- x" for depth in range(170)), id="nested-lists"),
        pytest.param("*a " * 10_000, id="stars"),
        pytest.param("![" * 15_000, id="images"),
        pytest.param("**" + "字" * 30_000 + "**", id="one-long-style"),
        pytest.param("https://a.com/" + "x" * 30_000, id="one-long-address"),
        pytest.param(("**重点：**请看[这里](https://a.com)👍。\n\n" * 1000)[:30_000], id="ordinary"),
        pytest.param("|a" * 5_000 + "\n" + "|-" * 5_000 + "\n" + "|b" * 5_000, id="wide-table"),
        pytest.param("\u0301" * 30_000, id="accents"),
        pytest.param("🇨" * 15_000, id="flags"),
    ],
)
def test_hostile_sizes_end_in_bounded_time(markdown: str) -> None:
    parts = render(markdown)
    assert parts
    for part in parts:
        check(part, MESSAGE_LIMIT)


def test_text_nested_beyond_reason_is_shown_as_it_stands() -> None:
    assert "needle" in render(">" * 100 + " needle")[0].text
