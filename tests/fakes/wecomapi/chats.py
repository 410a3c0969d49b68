"""The AI bot in URL mode: what people say to it, the refreshes of its streams, response_url."""

from __future__ import annotations

import json

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.answers import Answers, Exchange
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.feed import Attempt, Delivery, Feed
from tests.fakes.wecomapi.params import Asked, Method, content_of
from tests.fakes.wecomapi.state import Json, State

STREAM_LIFE = 360.0
RESPONSE_LIFE = 3600.0
IN_FLIGHT = 3


class Chats:
    """Everything that happens between people and the AI bot."""

    def __init__(self, state: State, feed: Feed, answers: Answers, bot_id: str) -> None:
        self._state = state
        self._feed = feed
        self._answers = answers
        self.bot_id = bot_id
        self.poll_seconds = 1.0
        self.stream_life = STREAM_LIFE
        self.exchanges: dict[str, Exchange] = {}
        """By msgid, in order."""
        self.base = ""
        """Where qyapi is, for response_url."""

    def table(self) -> dict[str, Method]:
        return {"aibot/response": Method("POST", "", self.respond)}

    # -- What people do --

    def says(self, user: str, content: str, *, chat: str = "", quote: Json | None = None) -> Exchange:
        """A text; in a group (`chat`) somebody writes "@Kefu …"."""
        return self.sends(user, "text", {"content": content}, chat=chat, quote=quote)

    def sends(self, user: str, msgtype: str, content: Json, *, chat: str = "", quote: Json | None = None) -> Exchange:
        """mixed={"msg_item": […]}, voice={"content": …}, image={"url": …}, file={"url": …}, or unheard of."""
        code = self._state.new_id("rsp")
        body: Json = {msgtype: content, "response_url": f"{self.base}/cgi-bin/aibot/response?response_code={code}"}
        if quote is not None:
            body["quote"] = quote
        return self._happens(user, chat, "message", {"msgtype": msgtype, **body}, code)

    def enters(self, user: str) -> Exchange:
        """Opens the single chat, for the first time of the day."""
        return self.does(user, "enter_chat", {})

    def presses(self, user: str, key: str, *, chat: str = "") -> Exchange:
        """A button of the last card there that has it.

        :raises AssertionError: there is none.
        """
        shown = [
            one.body["template_card"]
            for one in self._state.messages
            if one.channel == "bot" and one.place == (chat or user) and "template_card" in one.body
        ]
        card = next((one for one in reversed(shown) if key in cards.keys(one)), None)
        assert card is not None, f"{user} sees no card with a button {key}"
        about = {"card_type": card["card_type"], "event_key": key, "task_id": card["task_id"]}
        return self.does(user, "template_card_event", about, chat=chat)

    def judges(self, user: str, feedback: str, *, good: bool, comment: str = "", chat: str = "") -> Exchange:
        """Thumbs up or down on the answer with this feedback id."""
        about: Json = {"id": feedback, "type": 1 if good else 2, "content": comment}
        if not good:
            about["inaccurate_reason_list"] = [2]
        return self.does(user, "feedback_event", about, chat=chat)

    def does(self, user: str, event: str, about: Json, *, chat: str = "") -> Exchange:
        """Any event."""
        body = {"msgtype": "event", "create_time": int(self._state.clock.now())}
        return self._happens(user, chat, event, body | {"event": {"eventtype": event, event: about}}, "")

    def _happens(self, user: str, chat: str, kind: str, body: Json, code: str) -> Exchange:
        msgid = self._state.new_id("CAIQ")
        made = Exchange(msgid=msgid, user=user, chat=chat, at=self._state.clock.now(), kind=kind, response_code=code)
        waiting = sum(1 for one in self.exchanges.values() if one.user == user and _in_flight(one))
        self.exchanges[msgid] = made
        if kind == "message" and waiting >= IN_FLIGHT:
            made.finished = True
            return made
        whole = self._envelope(made) | body | {"msgid": msgid}
        made.delivery = self._feed.push(
            "bot", json.dumps(whole, ensure_ascii=False), msgid, lambda delivery: self._answered(made, delivery)
        )
        return made

    def _envelope(self, exchange: Exchange) -> Json:
        place: Json = {"chatid": exchange.chat, "chattype": "group"} if exchange.chat else {"chattype": "single"}
        return {"aibotid": self.bot_id, "from": {"userid": exchange.user}, **place}

    # -- What the bot answers --

    def _answered(self, exchange: Exchange, delivery: Delivery) -> None:
        self._take(exchange, delivery.reply)
        if exchange.stream and not exchange.finished:
            self._feed.start(self._refresh(exchange))
        else:
            exchange.finished = True

    def _take(self, exchange: Exchange, reply: str) -> None:
        if not reply:
            return
        try:
            self._answers.take(exchange, json.loads(reply))
        except (ValueError, Refused) as error:
            self._state.breaks("reply", f"bot: {error}")

    async def _refresh(self, exchange: Exchange) -> None:
        """Asks for the whole text so far again and again, until the stream ends or six minutes are over."""
        while not exchange.finished:
            await self._state.clock.sleep(self.poll_seconds)
            if self._state.clock.now() - exchange.at > self.stream_life:
                exchange.expired = exchange.finished = True
                self._state.touch()
                return
            attempt = await self.refresh(exchange)
            if attempt.acknowledged:
                exchange.slowest = max(exchange.slowest, attempt.seconds)
                self._take(exchange, attempt.reply)

    async def refresh(self, exchange: Exchange, *, stream: str = "") -> Attempt:
        """One refresh: of this exchange's stream, or of another for a test that asks for what is not there."""
        msgid = self._state.new_id("CAIQ")
        about = {"msgid": msgid, "msgtype": "stream", "stream": {"id": stream or exchange.stream}}
        plain = json.dumps(self._envelope(exchange) | about)
        exchange.refreshes += 1
        asked = Delivery(id=msgid, endpoint="bot", plain=plain, at=self._state.clock.now())
        return await self._feed.attempt(asked, 0)

    # -- response_url --

    def respond(self, asked: Asked) -> Json:
        """One more message, within the hour."""
        code = asked.query.get("response_code", "")
        exchange = next((one for one in self.exchanges.values() if code and one.response_code == code), None)
        if exchange is None or self._state.clock.now() - exchange.at > RESPONSE_LIFE:
            raise Refused(40029)
        if exchange.response_used:
            asked.breaks("response_url", "used a second time")
            raise Refused(40029)
        msgtype = asked.body.get("msgtype")
        if msgtype == "template_card":
            text = cards.words(cards.judge(asked.body.get("template_card")))
        elif msgtype == "markdown":
            text = content_of(asked.part("markdown"))
        else:
            raise Refused(40008)
        said = self._answers.say(exchange, msgtype, text, asked.body)
        exchange.response_used = True
        asked.call.msgid = said.msgid
        return {}


def _in_flight(exchange: Exchange) -> bool:
    given_up = exchange.delivery is not None and exchange.delivery.fate == "gave_up"
    return exchange.kind == "message" and not exchange.finished and not given_up
