"""What colleagues do in the self-built app, and what WeCom tells the bot of it."""

from __future__ import annotations

import xmltodict

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.feed import Delivery, Feed
from tests.fakes.wecomapi.messages import AppMessages
from tests.fakes.wecomapi.sealing import xml
from tests.fakes.wecomapi.state import Json, Message, State


class Colleagues:
    """The deeds. Each is delivered at once; the delivery says what became of it."""

    def __init__(self, state: State, feed: Feed, messages: AppMessages, agent_id: int) -> None:
        self._state = state
        self._feed = feed
        self._messages = messages
        self._agent_id = agent_id
        self._number = 7_000_000_000_000_000

    def knows(self, user: str) -> str:
        """Somebody who may use the app and has not said anything."""
        return self._state.member(user)

    def says(self, user: str, content: str) -> Delivery:
        return self.sends(user, "text", Content=content)

    def sends(self, user: str, msgtype: str, **fields: object) -> Delivery:
        """Any message: image (PicUrl, MediaId), voice (MediaId, Format), file, video, location, link, or unheard of."""
        self._number += 1
        return self._tell(user, str(self._number), {"MsgType": msgtype, **fields, "MsgId": self._number})

    def does(self, user: str, event: str, key: str = "", **fields: object) -> Delivery:
        """Any event: subscribe, unsubscribe, enter_agent, click and view (with their key), LOCATION, …"""
        return self._tell(user, self._state.new_id("event"), {
            "MsgType": "event", "Event": event, "EventKey": key, **fields,
        })  # fmt: skip

    def clicks(self, user: str, key: str) -> Delivery:
        """An entry of the app's menu."""
        return self.does(user, "click", key)

    def presses(self, user: str, key: str, *, msgid: str = "") -> Delivery:
        """A button of the last card that the user sees, or of that message."""
        card = self._card(user, key, msgid)
        body = card.updated[-1]["template_card"] if card.updated and "template_card" in card.updated[-1] else None
        body = body or card.body["template_card"]
        return self.does(
            user, "template_card_event", key, TaskId=body.get("task_id", ""), CardType=body["card_type"],
            ResponseCode=self._messages.code(card), SelectedItems="",
        )  # fmt: skip

    def _card(self, user: str, key: str, msgid: str) -> Message:
        for one in reversed(self._state.messages):
            mine = one.channel == "app" and one.place == user.lower() and one.msgtype == "template_card"
            if mine and msgid in {"", one.msgid} and key in cards.keys(one.body["template_card"]):
                return one
        raise AssertionError(f"{user} sees no card with a button {key}")

    def _tell(self, user: str, delivery_id: str, fields: Json) -> Delivery:
        whole = {
            "ToUserName": self._state.corp_id,
            "FromUserName": self._state.member(user),
            "CreateTime": int(self._state.clock.now()),
            **fields,
            "AgentID": self._agent_id,
        }
        return self._feed.push("app", xml(whole), delivery_id, lambda delivery: self._answered(user, delivery))

    def _answered(self, user: str, delivery: Delivery) -> None:
        """The bot answered at once, within the callback: a text; of cards only an active update is known here."""
        if not delivery.reply:
            return
        reply = xmltodict.parse(delivery.reply)["xml"]
        if reply.get("MsgType") != "text" or reply.get("ToUserName", "").lower() != user.lower():
            self._state.breaks("reply", f"app: {reply.get('MsgType')}")
            return
        self._state.say(
            Message(
                channel="app", place=user.lower(), msgid=self._state.new_id("msg"), msgtype="text",
                text=str(reply.get("Content") or ""), body=dict(reply), at=self._state.clock.now(),
            )
        )  # fmt: skip
