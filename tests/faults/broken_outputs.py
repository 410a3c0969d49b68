"""What a broken model says: seeded, never the same twice, and now and then right, so that a reader which refuses
everything is noticed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

ANSWER = {"response": "满 99 元包邮，不满收 8 元。", "confidence": 0.9}
CALLS = (
    {"name": "create_support_ticket", "arguments": {"issue": "灯坏了", "urgency": "high"}},
    {"name": "ticket_status", "arguments": {"ticket": "TICKET-7K0001"}},
    {"name": "hand_to_person", "arguments": {"reason": "要人工"}},
)
_HUGE = 10 * 2**20


class BrokenModel:
    """Says one thing after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ways: tuple[Callable[[], str], ...] = (
            self._whole,
            self._cut,
            self._two_objects,
            self._no_numbers,
            self._wrong_types,
            self._unknown_tool,
            self._wrong_arguments,
            self._mended_almost,
            self._nested_calls,
            self._deep,
            self._escapes,
            self._repeated_keys,
            self._prose_around,
            self._noise,
        )

    def says(self) -> str:
        """The next output. One in two thousand is 10 MB long."""
        if self._chance.random() < 0.0005:
            return self._huge()
        return self._chance.choice(self._ways)()

    # -- Ways to be broken --

    def _whole(self) -> str:
        return self._chance.choice([self._answer(), self._call()])

    def _cut(self) -> str:
        text = self._whole()
        return text[: self._chance.randrange(len(text))]

    def _two_objects(self) -> str:
        between = self._chance.choice(["", "\n", ", ", " and "])
        return self._whole() + between + self._whole()

    def _no_numbers(self) -> str:
        number = self._chance.choice(
            ["NaN", "-Infinity", "Infinity", "1e999", "0x1", "+1", "01", "9" * 5000, "", "nan"]
        )
        return f'{{"response": "是", "confidence": {number}}}'

    def _wrong_types(self) -> str:
        wrong = [None, True, 7, -0.0, [], ["满 99 元"], {}, {"text": "满 99 元"}, ""]
        said = {
            "response": self._chance.choice([*wrong, "是"]),
            "confidence": self._chance.choice([*wrong, "高", "0.9"]),
        }
        for extra in self._chance.sample(["ticket", "name", "arguments", "sources"], self._chance.randrange(3)):
            said[extra] = self._chance.choice(wrong)
        for missing in self._chance.sample(sorted(said), self._chance.randrange(2)):
            del said[missing]
        return json.dumps(said, ensure_ascii=False)

    def _unknown_tool(self) -> str:
        names = [
            "drop_tables",
            "create_support_ticket ",
            "CREATE_SUPPORT_TICKET",
            "",
            "__init__",
            "ticket_status\u200b",
        ]
        return self._tagged({"name": self._chance.choice(names), "arguments": {"issue": "灯坏了"}})

    def _wrong_arguments(self) -> str:
        call = json.loads(json.dumps(self._chance.choice(CALLS)))
        arguments = call["arguments"]
        key = self._chance.choice([*arguments, "requester", "user", "ticket", "issue"])
        wrong = [None, 7, True, [], {"$ne": 1}, "x" * 5000, "", "TICKET-SECRET9' OR '1'='1", float(7), ["TICKET-1"]]
        arguments[key] = self._chance.choice(wrong)
        return self._tagged(self._chance.choice([call, {**call, "arguments": json.dumps(arguments)}]))

    def _mended_almost(self) -> str:
        """What a parser that closes brackets and quotes would make a call of."""
        text = self._tagged(self._chance.choice(CALLS))
        return self._chance.choice(
            [
                text.replace("}}", "}"),
                text.replace('"', "'"),
                text.replace("</tool_call>", ""),
                text.replace('"arguments"', "arguments"),
                text.replace("}}", ",}}"),
                text.replace("}}", "}} // done"),
            ]
        )

    def _nested_calls(self) -> str:
        depth = self._chance.choice([2, 20, 200])
        inside = json.dumps(self._chance.choice(CALLS), ensure_ascii=False)
        return "<tool_call>" * depth + inside + "</tool_call>" * depth

    def _deep(self) -> str:
        depth = self._chance.choice([50, 200, 5000])
        opened, closed = self._chance.choice([("[", "]"), ('{"a":', "}")])
        deep = opened * depth + "1" + closed * depth
        return self._chance.choice(
            [
                deep,
                f'{{"response": {deep}, "confidence": 1}}',
                f'{{"name": "ticket_status", "arguments": {{"ticket": {deep}}}}}',
            ]
        )

    def _escapes(self) -> str:
        escapes = [
            "\\ud83d",
            "\\ude00",
            "\\ud83d\\ude00",
            "\\u00",
            "\\x41",
            "\\",
            "\\u0000",
            "\\n",
            "\n",
            "\x00",
            '\\"',
            "😀",
        ]
        text = "".join(self._chance.choices([*escapes, "满", "a"], k=self._chance.randrange(1, 12)))
        return self._chance.choice(
            [
                f'{{"response": "{text}", "confidence": 0.5}}',
                f'<tool_call>{{"name": "ticket_status", "arguments": {{"ticket": "{text}"}}}}</tool_call>',
            ]
        )

    def _repeated_keys(self) -> str:
        return self._chance.choice(
            [
                '{"response": "是", "response": "不是", "confidence": 1}',
                '{"response": "是", "confidence": 0, "confidence": 1}',
                '{"name": "ticket_status", "name": "hand_to_person", "arguments": {}}',
                '{"name": "ticket_status", "arguments": {"ticket": "TICKET-1", "ticket": "TICKET-7K0001"}}',
            ]
        )

    def _prose_around(self) -> str:
        before, after = self._chance.choice(
            [("好的，", ""), ("", " 谢谢"), ("```json\n", ""), ("```\n", "\n```\n好"), ("<|im_end|>", "")]
        )
        return before + self._whole() + after

    def _noise(self) -> str:
        alphabet = '{}[]",:\\ \n\t\r0123456789eE+-.truefalsn<>/_calu满\u2028\ufeff\x00'
        return "".join(self._chance.choices(alphabet, k=self._chance.randrange(200)))

    def _huge(self) -> str:
        filler = self._chance.choice([" ", "满", "[", '{"response": "', "<tool_call>", "9"])
        return filler * (_HUGE // len(filler.encode()))

    # -- Whole ones --

    def _answer(self) -> str:
        return json.dumps(ANSWER, ensure_ascii=self._chance.random() < 0.5)

    def _call(self) -> str:
        return self._tagged(self._chance.choice(CALLS))

    def _tagged(self, call: object) -> str:
        text = json.dumps(call, ensure_ascii=self._chance.random() < 0.5)
        return self._chance.choice([f"<tool_call>\n{text}\n</tool_call>", text])
