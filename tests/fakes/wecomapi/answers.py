"""What the AI bot answers within a callback: streams, cards, a welcome; and the rules of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.feed import Delivery
from tests.fakes.wecomapi.params import content_of, size
from tests.fakes.wecomapi.rates import PER_CONVERSATION, Rates
from tests.fakes.wecomapi.state import Json, Message, State

LIMIT = 20_480
_ALLOWED = {
    "message": {"stream", "template_card", "stream_with_template_card"},
    "enter_chat": {"text", "template_card"},
    "template_card_event": {"update_template_card"},
}
"""What may be answered to what; nothing to any other event."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One message or event to the bot and what the bot makes of it."""

    msgid: str
    user: str
    chat: str
    """"" in a single chat."""
    at: float
    kind: str
    """message, or the event's type."""
    response_code: str = ""
    response_used: bool = False
    stream: str = ""
    said: Message | None = None
    """The stream's message as it stands now."""
    card: Message | None = None
    finished: bool = False
    """WeCom waits for nothing more: the stream ended, or there was none."""
    expired: bool = False
    """Six minutes were over before the stream was."""
    refreshes: int = 0
    slowest: float = 0.0
    """Seconds that the slowest answer to a refresh took."""
    delivery: Delivery | None = None
    """None where WeCom told the user to wait, because three messages were being answered."""
    feedback: list[str] = field(default_factory=list)
    """The ids by which the user can judge the answer."""

    @property
    def place(self) -> str:
        return self.chat or self.user


class Answers:
    """Takes passive replies and shows them."""

    def __init__(self, state: State, rates: Rates) -> None:
        self._state = state
        self._rates = rates
        self._streams: dict[str, str] = {}

    def take(self, exchange: Exchange, reply: Any) -> None:
        """:raises Refused: WeCom shows nothing of it."""
        if not isinstance(reply, dict):
            raise Refused(40035, "no JSON object")
        msgtype = reply.get("response_type") or reply.get("msgtype")
        if msgtype not in _ALLOWED.get(exchange.kind, set()):
            raise Refused(40008, f"{msgtype} to {exchange.kind}")
        match msgtype:
            case "text":
                self.say(exchange, "text", content_of(_part(reply, "text")), reply)
            case "update_template_card":
                self._update(exchange, reply)
            case "template_card":
                self._card(exchange, reply)
            case _:
                self._stream(exchange, _part(reply, "stream"))
                if "template_card" in reply:
                    self._card(exchange, reply)
        exchange.finished = exchange.finished or not exchange.stream
        self._state.touch()

    def say(self, exchange: Exchange, msgtype: str, text: str, body: Json, key: str = "") -> Message:
        """Shows a new message where the exchange is.

        :raises Refused: 45009, too many there; 40058, it is too long.
        """
        if size(text) > LIMIT:
            raise Refused(40058, f"{msgtype}.content exceed max length {LIMIT}")
        if "<@all>" in text:
            self._state.breaks("mention", "bot: <@all>")
        if self._rates.over(f"bot {exchange.place}", PER_CONVERSATION):
            raise Refused(45009)
        return self._state.say(
            Message(
                channel="bot", place=exchange.place, msgid=self._state.new_id("bot"), msgtype=msgtype, text=text,
                body=body, at=self._state.clock.now(), key=key,
            )
        )  # fmt: skip

    def _stream(self, exchange: Exchange, stream: Json) -> None:
        content, done = stream.get("content", ""), stream.get("finish", False)
        self._judge_stream(exchange, stream, content, done)
        if exchange.said is None:
            exchange.said = self.say(exchange, "stream", content, {"stream": stream}, key=stream["id"])
        else:
            exchange.said.text, exchange.said.body = content, {"stream": stream}
        exchange.stream = stream["id"]
        exchange.finished = done
        feedback = (stream.get("feedback") or {}).get("id")
        if feedback is not None and feedback not in exchange.feedback:
            exchange.feedback.append(feedback)

    def _judge_stream(self, exchange: Exchange, stream: Json, content: Any, done: Any) -> None:
        """:raises Refused: 40058."""
        name = stream.get("id")
        if not isinstance(name, str) or not 1 <= size(name) <= 256:
            raise Refused(40058, "stream.id missing or too long")
        if name != exchange.stream and exchange.stream:
            raise Refused(40058, "stream.id is not the one that was asked for")
        if self._streams.setdefault(name, exchange.msgid) != exchange.msgid:
            raise Refused(40058, "stream.id belongs to another message")
        if not isinstance(content, str) or not isinstance(done, bool):
            raise Refused(40058, "stream.content or stream.finish is of the wrong kind")
        if size(content) > LIMIT:
            raise Refused(40058, f"stream.content exceed max length {LIMIT}")
        if "msg_item" in stream and not done:
            raise Refused(40058, "stream.msg_item before the end")
        feedback = stream.get("feedback")
        if feedback is not None and not 1 <= size(str((feedback or {}).get("id", ""))) <= 256:
            raise Refused(40058, "stream.feedback.id missing or too long")
        if stream.keys() - {"id", "finish", "content", "feedback", "msg_item"}:
            self._state.breaks("unknown_field", f"bot: {sorted(stream)}")

    def _card(self, exchange: Exchange, reply: Json) -> None:
        """Once for a message: what comes with later refreshes is not looked at."""
        if exchange.card is None:
            card = cards.judge(reply.get("template_card"))
            exchange.card = self.say(exchange, "template_card", cards.words(card), {"template_card": card})

    def _update(self, exchange: Exchange, reply: Json) -> None:
        """The card that was pressed shows something else.

        :raises Refused: there is none with this task_id.
        """
        card = cards.judge(reply.get("template_card"), fresh=False)
        for one in reversed(self._state.messages):
            shown = one.body.get("template_card") or {}
            if one.channel == "bot" and one.place == exchange.place and shown.get("task_id") == card.get("task_id"):
                one.updated.append({"template_card": card})
                one.text = cards.words(card)
                return
        raise Refused(40058, "template_card.task_id is none of a card there")


def _part(reply: Json, name: str) -> Json:
    value = reply.get(name)
    if not isinstance(value, dict):
        raise Refused(40035, f"{name} missing")
    return value
