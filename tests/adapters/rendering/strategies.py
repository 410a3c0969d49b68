"""Markdown for property tests: documents as models write them, and rubbish as nobody does."""

from hypothesis import strategies as st

WORDS = [
    "退货",
    "发票",
    "七天内",
    "order",
    "refund",
    "可以",
    "3.5kg",
    "👍",
    "👨‍👩‍👧",
    "🇨🇳",
    "né",
    "100*200*300",
    "您好",
    "ok",
]
word = st.sampled_from(WORDS)
sentence = st.lists(word, min_size=1, max_size=8).map(
    lambda words: "".join(w + (" " if w.isascii() else "") for w in words).strip() + "。"
)
styled = st.one_of(
    sentence,
    sentence.map(lambda s: f"**{s}**"),
    sentence.map(lambda s: f"*{s}*"),
    sentence.map(lambda s: f"~~{s}~~"),
    sentence.map(lambda s: f"**{s} `code x` ok**"),
    word.map(lambda w: f"`{w}`"),
    word.map(lambda w: f"[{w}](https://example.com/帮助?q=1&b=2)"),
    word.map(lambda w: f"[**{w}**](https://example.com/a_(b))"),
)
paragraph = st.lists(styled, min_size=1, max_size=4).map(lambda parts: "，".join(parts))
heading = st.tuples(st.integers(1, 6), sentence).map(lambda found: "#" * found[0] + " " + found[1])
code = st.lists(word, min_size=1, max_size=15).map(lambda words: "```python\n" + "\n  ".join(words) + "\n```")
quote = paragraph.map(lambda text: "> " + text)
table = st.lists(st.tuples(word, word, word), min_size=1, max_size=6).map(
    lambda rows: "| 项目 | 价格 | note |\n|:--|--:|---|\n" + "\n".join(f"| {a} | {b} | {c} |" for a, b, c in rows)
)
bullets = st.lists(st.tuples(st.integers(0, 4), paragraph), min_size=1, max_size=5).map(
    lambda items: "- 总\n" + "\n".join("  " * (depth + 1) + "- " + text for depth, text in items)
)
numbered = st.lists(paragraph, min_size=1, max_size=4).map(
    lambda items: "\n".join(f"{number}. {text}" for number, text in enumerate(items, 1))
)
document = st.lists(
    st.one_of(paragraph, heading, code, quote, table, bullets, numbered, st.just("---")), min_size=1, max_size=5
).map("\n\n".join)

# Pieces of markup in any order: unbalanced fences, half tables, broken links, invisible characters.
_SCRAPS = [
    *"*_~`#>|[]()!<&\\-+=.:\n\t 1a中。，👍",
    "**", "~~", "```", "````py\n", "\n\n", "\n- ", "\n1. ", "\n> ", "\n| a | b |\n|---|---|\n", "\n| ", " | ",
    "](https://e.com)", "](javascript:x)", "![", "<b>", "<br>", "&#x202e;", "&amp;", "\u200b", "\u202e", "\ufe0f",
    "\u200d", "\ud800", "👨\u200d👩", "🇨🇳", "https://a.com/b_c?d=e", "<https://a.b>", "    ", "---", "===", "[x]: y\n",
]  # fmt: skip
rubbish = st.lists(st.sampled_from(_SCRAPS), max_size=40).map("".join)
anything = st.one_of(document, rubbish, st.text(max_size=100), st.tuples(document, rubbish, document).map("".join))


def visible(text: str) -> str:
    """The text without white space, which may change where a text is cut."""
    return "".join(text.split())
