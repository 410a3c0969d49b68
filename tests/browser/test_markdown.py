"""The page's own Markdown renderer, run in the browser: what it shows, and what it never does."""

from __future__ import annotations

import random

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Visit
from tests.browser.stage import PASSWORD_ZH, SHIPPING_EN

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RENDER = """async ([text, partial]) => {
  const {render} = await import('./chat/markdown.js');
  const box = document.createElement('div');
  box.append(render(text, {partial}));
  return box.innerHTML;
}"""

A = 'target="_blank" rel="noopener noreferrer nofollow"'


async def rendered(page: Page, text: str, *, partial: bool = False) -> str:
    html: str = await page.evaluate(RENDER, [text, partial])
    return html


async def test_it_shows_what_is_meant(visit: Visit) -> None:
    page = await visit()
    cases = {
        "a **b** *c* `d` ~~e~~": "<p>a <strong>b</strong> <em>c</em> <code>d</code> <s>e</s></p>",
        "**注意：**请先*登录*。": "<p><strong>注意：</strong>请先<em>登录</em>。</p>",
        "***both***": "<p><strong><em>both</em></strong></p>",
        "snake_case_name and 2 * 3 * 4": "<p>snake_case_name and 2 * 3 * 4</p>",
        "one\ntwo\n\nthree": "<p>one<br>two</p><p>three</p>",
        "- a\n- b\n  - c\n- d": "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>",
        "1. a\n2. b": "<ol><li>a</li><li>b</li></ol>",
        "1、打开\n2、点击": "<ol><li>打开</li><li>点击</li></ol>",
        "3) c": '<ol start="3"><li>c</li></ol>',
        "- a\n\n- b": "<ul><li>a</li><li>b</li></ul>",
        "## Title ##": '<p class="heading">Title</p>',
        "> quoted\n> more": "<blockquote><p>quoted<br>more</p></blockquote>",
        "```js\n<b>*x*</b>\n```": "<pre><code>&lt;b&gt;*x*&lt;/b&gt;</code></pre>",
        "---": "<hr>",
        "|a|b|\n|-|:-:|\n|1|**2**|": '<div class="wide" tabindex="0"><table>'
        '<thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>'
        "<tbody><tr><td>1</td><td><strong>2</strong></td></tr></tbody></table></div>",
        "[help](https://a.example/x)": f'<p><a href="https://a.example/x" {A}>help</a></p>',
        "[call](tel:+861234) [mail](mailto:a@b.example)": f'<p><a href="tel:+861234" {A}>call</a> '
        f'<a href="mailto:a@b.example" {A}>mail</a></p>',
        "见https://a.example/帮助，谢谢": f'<p>见<a href="https://a.example/" {A}>https://a.example/</a>帮助，谢谢</p>',
        "(https://a.example/x).": f'<p>(<a href="https://a.example/x" {A}>https://a.example/x</a>).</p>',
        r"\*not bold\* 5 \< 6": "<p>*not bold* 5 &lt; 6</p>",
        "![a chart](https://a.example/c.png)": f'<p><a href="https://a.example/c.png" {A}>a chart</a></p>',
        "a ** b": "<p>a ** b</p>",
        "unclosed **bold": "<p>unclosed **bold</p>",
    }
    assert {text: await rendered(page, text) for text in cases} == cases


@pytest.mark.parametrize("text", [PASSWORD_ZH, SHIPPING_EN], ids=["zh", "en"])
async def test_a_growing_text_shows_no_half_marks(visit: Visit, text: str) -> None:
    page = await visit()
    shown = await page.evaluate(
        """async (text) => {
          const {render} = await import('./chat/markdown.js');
          return [...text].map((_, end) => { const box = document.createElement('div');
            box.append(render(text.slice(0, end), {partial: true})); return box.textContent; });
        }""",
        text,
    )
    assert not [words for words in shown if "**" in words or "`" in words or "](" in words]


HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "[click](javascript:document.title='owned')",
    "[click](JaVaScRiPt:alert(1))",
    "[click](\tjava\nscript:alert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    "[click](vbscript:x) [click](file:///etc/passwd) [click](blob:https://x/y)",
    '<javascript:alert(1)> <https://a.example/"onmouseover=alert(1)>',
    '[a](https://a.example/" onmouseover="alert(1))',
    "![x](javascript:alert(1))",
    "**<svg onload=alert(1)>**",
    "|<iframe src=//evil.example>|b|\n|-|-|\n|<object>|<embed>|",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x]: javascript:alert(1)\n[x][x]",
    "[//evil.example](//evil.example) [rel](/api/v1/tickets) [#](#top)",
    "<style>*{display:none}</style><base href=//evil.example>",
    "\u202e[click](https://a.example)\u0000\u0007",
]
CHECK = """async (texts) => {
  const {render} = await import('./chat/markdown.js');
  const allowed = new Set(['p', 'br', 'strong', 'em', 's', 'code', 'pre', 'ul', 'ol', 'li', 'blockquote', 'hr', 'a',
    'span', 'div', 'table', 'thead', 'tbody', 'tr', 'th', 'td']);
  const schemes = ['http:', 'https:', 'mailto:', 'tel:'];
  const attributes = new Set(['href', 'target', 'rel', 'class', 'start', 'scope', 'tabindex']);
  const wrong = [];
  for (const text of texts) for (const partial of [false, true]) {
    const box = document.createElement('div');
    document.body.append(box);
    box.append(render(text, {partial}));
    for (const node of box.querySelectorAll('*')) {
      if (!allowed.has(node.localName)) wrong.push(node.outerHTML);
      for (const {name} of node.attributes) if (!attributes.has(name)) wrong.push(node.outerHTML);
      if (node.localName === 'a' && !schemes.includes(node.protocol)) wrong.push(node.outerHTML);
    }
    box.remove();
  }
  return {wrong, title: document.title};
}"""


def _scrambled(seed: random.Random) -> str:
    pieces = [
        "**",
        "*",
        "_",
        "`",
        "```\n",
        "[",
        "](",
        ")",
        "<",
        ">",
        "|",
        "|-|-|\n",
        "\n",
        "\n\n",
        "- ",
        "  - ",
        "1. ",
        "> ",
        "# ",
        "\\",
        "javascript:",
        "https://a.example",
        "data:x",
        "<script>",
        "好",
        "词",
        "word",
        " ",
        "~~",
        "!",
        "\t",
    ]
    return "".join(seed.choices(pieces, k=seed.randrange(1, 60)))


async def test_no_text_becomes_anything_but_text_and_safe_links(visit: Visit) -> None:
    page = await visit()
    title = await page.title()
    seed = random.Random(5)
    texts = [*HOSTILE, *(_scrambled(seed) for _ in range(600))]

    assert await page.evaluate(CHECK, texts) == {"wrong": [], "title": title}


async def test_a_patched_text_always_reads_as_the_new_one(visit: Visit) -> None:
    page = await visit()
    seed = random.Random(6)
    texts = [_scrambled(seed) for _ in range(200)] + [SHIPPING_EN[:end] for end in range(0, len(SHIPPING_EN), 3)]
    different = await page.evaluate(
        """async (texts) => {
          const {render, patch} = await import('./chat/markdown.js');
          const kept = document.createElement('div');
          return texts.filter((text) => {
            const fresh = document.createElement('div');
            fresh.append(render(text, {partial: true}));
            patch(kept, render(text, {partial: true}));
            return kept.innerHTML !== fresh.innerHTML;
          });
        }""",
        texts,
    )
    assert different == []


LONG = {
    "stars": "*" * 20_000,
    "brackets": "[" * 20_000,
    "quotes": "> " * 10_000 + "x",
    "ticks": "`" * 20_001,
    "bold": "**a " * 6_000,
    "items": "- " * 10_000,
    "cells": "|" * 10_000 + "\n|-|\n" + "|" * 10_000,
    "lines": "_a" * 10_000,
    "addresses": "https://" * 3_000,
}


async def test_a_hostile_length_does_not_hang_the_page(visit: Visit) -> None:
    page = await visit()
    took: dict[str, float] = await page.evaluate(
        """async (texts) => {
          const {render} = await import('./chat/markdown.js');
          const timed = ([name, text]) => {
            const start = performance.now();
            render(text);
            return [name, performance.now() - start];
          };
          return Object.fromEntries(Object.entries(texts).map(timed));
        }""",
        LONG,
    )
    assert {name: ms for name, ms in took.items() if ms > 1_000} == {}
