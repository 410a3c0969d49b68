"""The AI bot in URL mode: what people say to it, its streams and their refreshes, response_url."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.feed import Delivery, Feed
from tests.fakes.wecomapi.params import Asked, Method, content_of, size
from tests.fakes.wecomapi.state import Json, Message, State

LIMIT = 20_480
STREAM_LIFE = 360.0
RESPONSE_LIFE = 3600.0
IN_FLIGHT = 3
_REPLIES = frozenset(["stream", "template_card", "stream_with_template_card"])


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One message to the bot and what the bot makes of it."""

    msgid: str
    user: str
    chat: str
    """"" in a single chat."""
    at: float
    kind: str
    """message or event."""
    response_code: str = ""
    response_used: bool = False
    stream: str = ""
    said: Message | None = None
    finished: bool = False
    """WeCom waits for nothing more: the stream ended, or there was none."""
    expired: bool = False
    """Six minutes were over before the stream was."""
    refreshes: int = 0
    delivery: Delivery | None = None
    feedback: list[str] = field(default_factory=list)


class Chats:
    """Everything that happens between people and the AI bot."""

    def __init__(self, state: State, feed: Feed, bot_id: str) -> None:
        self._state = state
        self._feed = feed
        self.bot_id = bot_id
        self.poll_seconds = 1.0
        self.stream_life = STREAM_LIFE
        self.exchanges: dict[str, Exchange] = {}
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

    def presses(self, user: str, key: str, *, chat: str = "", task_id: str = "") -> Exchange:
        """A button of the last card there."""
        card = next(
            (
                one.body["template_card"]
                for one in reversed(self._state.messages)
                if one.channel == "bot" and one.place == (chat or user) and "template_card" in one.body
                and key in cards.keys(one.body["template_card"])
            ),
            {"card_type": "button_interaction", "task_id": task_id},
        )  # fmt: skip
        about = {"card_type": card["card_type"], "event_key": key, "task_id": card.get("task_id", task_id)}
        return self.does(user, "template_card_event", about, chat=chat)

    def judges(self, user: str, feedback: str, *, good: bool, comment: str = "", chat: str = "") -> Exchange:
        """Thumbs up or down on an answer with this feedback id."""
        about: Json = {"id": feedback, "type": 1 if good else 2, "content": comment}
        if not good:
            about["inaccurate_reason_list"] = [2]
        return self.does(user, "feedback_event", about, chat=chat)

    def does(self, user: str, event: str, about: Json, *, chat: str = "") -> Exchange:
        """Any event."""
        body = {"msgtype": "event", "create_time": int(self._state.clock.now())}
        return self._happens(user, chat, "event", body | {"event": {"eventtype": event, event: about}}, "")

    def _happens(self, user: str, chat: str, kind: str, body: Json, code: str) -> Exchange:
        msgid = self._state.new_id("CAIQ")
        made = Exchange(msgid=msgid, user=user, chat=chat, at=self._state.clock.now(), kind=kind, response_code=code)
        whole = self._envelope(made) | body | {"msgid": msgid}
        mine = [one for one in self.exchanges.values() if one.user == user and one.kind == "message"]
        self.exchanges[msgid] = made
        if kind == "message" and sum(1 for one in mine if not one.finished) >= IN_FLIGHT:
            made.finished = True  # WeCom tells the user to wait; the bot hears nothing
            return made
        made.delivery = self._feed.push(
            "bot", json.dumps(whole, ensure_ascii=False), msgid, lambda delivery: self._answered(made, delivery)
        )
        return made

    def _envelope(self, exchange: Exchange) -> Json:
        place: Json = {"chatid": exchange.chat, "chattype": "group"} if exchange.chat else {"chattype": "single"}
        return {"aibotid": self.bot_id, "from": {"userid": exchange.user}, **place}

    # -- What the bot answers --

    def _answered(self, exchange: Exchange, delivery: Delivery) -> None:
        if not delivery.reply:
            exchange.finished = True
            return
        try:
            reply = json.loads(delivery.reply)
            self._take(exchange, reply)
        except (ValueError, Refused) as error:
            self._state.breaks("reply", f"bot: {error}")
            exchange.finished = True
        if exchange.stream and not exchange.finished:
            self._feed.start(self._refresh(exchange))

    def _take(self, exchange: Exchange, reply: Json) -> None:
        """A passive reply.

        :raises Refused: WeCom would show nothing.
        """
        if reply.get("response_type") == "update_template_card":
            self._update(exchange, reply)
            return
        msgtype = reply.get("msgtype")
        if exchange.kind == "event" and msgtype == "text":
            self._say(exchange, "text", content_of(reply.get("text") or {}), reply)
            exchange.finished = True
            return
        if msgtype not in _REPLIES or (exchange.kind == "event" and msgtype != "template_card"):
            raise Refused(40008, str(msgtype))
        if "stream" in msgtype:
            self._stream(exchange, reply)
        if "template_card" in msgtype and (not exchange.stream or exchange.finished or exchange.refreshes == 0):
            card = cards.judge(reply.get("template_card"))
            self._say(exchange, "template_card", cards.words(card), {"template_card": card})
        exchange.finished = exchange.finished or not exchange.stream

    def _stream(self, exchange: Exchange, reply: Json) -> None:
        stream = reply.get("stream")
        if not isinstance(stream, dict) or not isinstance(stream.get("id"), str) or not stream["id"]:
            raise Refused(40058, "stream.id missing")
        if exchange.stream and stream["id"] != exchange.stream:
            raise Refused(40058, "stream.id is another than the one that was asked for")
        content = stream.get("content", "")
        if not isinstance(content, str) or not isinstance(stream.get("finish", False), bool):
            raise Refused(40058, "stream.content or stream.finish is of the wrong kind")
        if size(content) > LIMIT:
            raise Refused(40058, f"stream.content exceed max length {LIMIT}")
        if "<@all>" in content:
            self._state.breaks("mention", "<@all>")
        if "msg_item" in stream and not stream.get("finish"):
            raise Refused(40058, "stream.msg_item before the end")
        exchange.stream = stream["id"]
        feedback = (stream.get("feedback") or {}).get("id")
        if feedback is not None:
            if not 1 <= size(str(feedback)) <= 256:
                raise Refused(40058, "stream.feedback.id")
            if feedback not in exchange.feedback:
                exchange.feedback.append(feedback)
        if exchange.said is None:
            exchange.said = self._say(exchange, "stream", content, {"stream": stream}, key=exchange.stream)
        else:
            exchange.said.text, exchange.said.body = content, {"stream": stream}
        exchange.finished = bool(stream.get("finish"))
        self._state.touch()

    def _update(self, exchange: Exchange, reply: Json) -> None:
        card = cards.judge(reply.get("template_card"), fresh=False)
        task = card.get("task_id")
        place = exchange.chat or exchange.user
        for one in reversed(self._state.messages):
            shown = one.body.get("template_card") or {}
            if one.channel == "bot" and one.place == place and shown and task in {None, shown.get("task_id")}:
                one.updated.append({"template_card": card})
                one.text = cards.words(card)
                break
        exchange.finished = True
        self._state.touch()

    def _say(self, exchange: Exchange, msgtype: str, text: str, body: Json, key: str = "") -> Message:
        return self._state.say(
            Message(
                channel="bot", place=exchange.chat or exchange.user, msgid=self._state.new_id("bot"), msgtype=msgtype,
                text=text, body=body, at=self._state.clock.now(), key=key,
            )
        )  # fmt: skip

    # -- Refreshes --

    async def _refresh(self, exchange: Exchange) -> None:
        """Asks for the whole text so far again and again, until the stream ends or six minutes are over."""
        while not exchange.finished:
            await self._state.clock.sleep(self.poll_seconds)
            if self._state.clock.now() - exchange.at > self.stream_life:
                exchange.expired = exchange.finished = True
                self._state.touch()
                return
            plain = self._envelope(exchange) | {"msgtype": "stream", "stream": {"id": exchange.stream}}
            plain["msgid"] = self._state.new_id("CAIQ")
            delivery = Delivery(id=plain["msgid"], endpoint="bot", plain=json.dumps(plain), at=self._state.clock.now())
            exchange.refreshes += 1
            attempt = await self._feed.attempt(delivery, 0)
            if not attempt.acknowledged or not attempt.reply:
                continue
            try:
                self._take(exchange, json.loads(attempt.reply))
            except (ValueError, Refused) as error:
                self._state.breaks("reply", f"bot refresh: {error}")

    # -- response_url --

    def respond(self, asked: Asked) -> Json:
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
            if size(text) > LIMIT:
                asked.breaks("length", f"{size(text)} bytes of markdown")
                raise Refused(40058, f"markdown.content exceed max length {LIMIT}")
        else:
            raise Refused(40008)
        exchange.response_used = True
        asked.call.msgid = self._say(exchange, str(msgtype), text, asked.body).msgid
        return {}
