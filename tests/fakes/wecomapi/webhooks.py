"""The group robot's webhook: webhook/send."""

from __future__ import annotations

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.params import Asked, Method, content_of, size
from tests.fakes.wecomapi.rates import PER_WEBHOOK, Rates
from tests.fakes.wecomapi.state import Json, Message, State

LIMITS = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}


class Webhooks:
    """Takes what is said into groups by address alone."""

    def __init__(self, state: State, rates: Rates, keys: set[str]) -> None:
        self._state = state
        self._rates = rates
        self.keys = keys

    def table(self) -> dict[str, Method]:
        return {"webhook/send": Method("POST", "", self.send)}

    def send(self, asked: Asked) -> Json:
        key = asked.query.get("key", "")
        if key not in self.keys:
            raise Refused(93000)
        text = self._content(asked)
        if self._rates.over(f"webhook {key}", PER_WEBHOOK):
            asked.breaks("rate", "more than 20 a minute into the group")
            raise Refused(45009)
        said = Message(
            channel="webhook", place="", msgid=self._state.new_id("wh"), msgtype=asked.body["msgtype"], text=text,
            body=asked.body, at=self._state.clock.now(), key=key,
        )  # fmt: skip
        asked.call.msgid = self._state.say(said).msgid
        return {}

    def _content(self, asked: Asked) -> str:
        msgtype = asked.body.get("msgtype")
        if msgtype == "template_card":
            return cards.words(cards.judge(asked.body.get("template_card"), fresh=False))
        if msgtype not in LIMITS:
            raise Refused(40008)
        asked.only({"msgtype", msgtype})
        part = asked.part(msgtype)
        text = content_of(part)
        if size(text) > LIMITS[msgtype]:
            asked.breaks("length", f"{size(text)} bytes of {msgtype}")
            raise Refused(40058, f"{msgtype}.content exceed max length {LIMITS[msgtype]}")
        if "@all" in (part.get("mentioned_list") or []) or "<@all>" in text:
            asked.breaks("mention", "@all")
        return text
