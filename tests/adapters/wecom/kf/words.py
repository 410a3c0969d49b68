"""An answer that is too long for a chat, with everything in it that a chat does not show."""

from __future__ import annotations

RULES = "签收之日起七天之内，只要包装完整、配件齐全，都可以申请无理由退货；退款会在三个工作日之内原路退回。"
TABLE = """| 地区 | 运费 | 到货 | 备注 |
|---|---:|:---:|---|
| 北京 | 0 元 | 1 天 | 当天 11 点前下单 |
| 新疆 | 18 元 | 5–7 天 | **偏远**地区[另计](https://shop.example.com/far?a=1) |
"""


def long_answer(characters: int = 5000) -> str:
    start = f"# 退换货说明\n\n{RULES}\n\n## 运费\n\n{TABLE}\n## 细则\n\n"
    lines = [f"{number}. 第{number}条：{RULES}" for number in range(1, 200)]
    return (start + "\n".join(lines))[:characters]
