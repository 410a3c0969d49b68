"""What the bot may send, command by command, and what is answered."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.aibot import cards, checks
from tests.fakes.aibot.errors import (
    BAD_CHAT,
    BAD_PARAMETER,
    BAD_REQ_ID,
    BAD_TYPE,
    CHAT_NOT_ALLOWED,
    NOT_IN_CHAT,
    NOT_SUBSCRIBED,
    Refused,
)
from tests.fakes.aibot.rates import Rates
from tests.fakes.aibot.state import Asked, Heard, Json, Kind, Place, Post, State
from tests.fakes.aibot.streams import Streams

REPLY_SECONDS = 24 * 3600.0
SOON_SECONDS = 5.0
"""For a welcome and for a card that was pressed."""


class Answering:
    """Judges frames of a subscribed connection. What passes has its effect at once."""

    def __init__(self, state: State, rates: Rates, streams: Streams) -> None:
        self.survive = False
        """Whether a callback may be answered over another connection than it came on. Bots in the field are told
        846605 after a reconnect; a test may be kinder."""
        self._state = state
        self._rates = rates
        self._streams = streams
        self._table: dict[str, Callable[[Heard], None]] = {
            "aibot_respond_msg": self._respond,
            "aibot_respond_welcome_msg": self._welcome,
            "aibot_respond_update_msg": self._update,
            "aibot_send_msg": self._send,
        }

    def apply(self, heard: Heard, *, subscribed: bool) -> None:
        """
        :raises Refused: WeCom would not take it.
        """
        if not subscribed:
            raise Refused(NOT_SUBSCRIBED, f"{heard.cmd} before aibot_subscribe")
        work = self._table.get(heard.cmd)
        if work is None:
            raise Refused(BAD_PARAMETER, f"there is no command {heard.cmd!r}")
        work(heard)

    # -- Answers to callbacks --

    def _respond(self, heard: Heard) -> None:
        asked = self._callback(heard, "message", REPLY_SECONDS)
        match heard.body.get("msgtype"):
            case "stream":
                self._streams.respond(heard.body, asked)
            case "markdown" | "template_card" as via:
                self._say(heard, via, asked.place, asked)
            case other:
                raise Refused(BAD_TYPE, f"a message cannot be answered with {other!r}")
        asked.answers += 1

    def _welcome(self, heard: Heard) -> None:
        asked = self._callback(heard, "enter_chat", SOON_SECONDS, once=True)
        via = heard.body.get("msgtype")
        if via not in {"text", "template_card"}:
            raise Refused(BAD_TYPE, f"nobody is welcomed with {via!r}")
        self._say(heard, str(via), asked.place, asked)
        asked.answers += 1

    def _update(self, heard: Heard) -> None:
        asked = self._callback(heard, "template_card_event", SOON_SECONDS, once=True)
        if heard.body.get("response_type") != "update_template_card":
            raise Refused(BAD_PARAMETER, "response_type is not update_template_card")
        userids = heard.body.get("userids", [])
        if not isinstance(userids, list) or not all(isinstance(one, str) and one for one in userids):
            raise Refused(BAD_PARAMETER, "userids is no list of ids")
        card = cards.judged(heard.body.get("template_card"))
        if card.get("task_id") != asked.task_id:
            raise Refused(BAD_PARAMETER, "task_id is not that of the card that was pressed")
        post = self._state.cards[asked.task_id]
        post.card = card
        post.updates += 1
        asked.answers += 1

    def _callback(self, heard: Heard, kind: str, seconds: float, *, once: bool = False) -> Asked:
        asked = self._state.asked.get(heard.req_id)
        if asked is None:
            raise Refused(BAD_REQ_ID, "no callback had this req_id")
        if asked.kind != kind:
            raise Refused(BAD_REQ_ID, f"{heard.cmd} does not answer {asked.kind}")
        if asked.link != heard.link and not self.survive:
            raise Refused(BAD_REQ_ID, "the callback came on another connection")
        if self._state.clock.now() - asked.at > seconds:
            raise Refused(BAD_REQ_ID, f"more than {seconds:.0f} s after the callback")
        if not asked.place.member:
            raise Refused(NOT_IN_CHAT, "the bot was taken out of the group")
        if once and asked.answers:
            raise Refused(BAD_REQ_ID, "it was answered already")
        return asked

    # -- Speaking by itself --

    def _send(self, heard: Heard) -> None:
        place = self._chosen(heard.body)
        via = heard.body.get("msgtype")
        if via not in {"markdown", "template_card"}:
            raise Refused(BAD_TYPE, f"{via!r} cannot be sent")
        if heard.req_id in self._state.asked:
            self._state.breach("aibot_send_msg carries the req_id of a callback")
        self._say(heard, str(via), place, None)

    def _chosen(self, body: Json) -> Place:
        chat = checks.words(body.get("chatid"), "chatid", most=checks.ID_BYTES)
        kind = body.get("chat_type", 0)
        if kind not in {0, 1, 2} or isinstance(kind, bool):
            raise Refused(BAD_PARAMETER, "chat_type is not 0, 1 or 2")
        if not kind:
            self._state.breach("aibot_send_msg without chat_type: WeCom takes the chatid for a group's first")
        order: tuple[Kind, ...] = ("single",) if kind == 1 else ("group",) if kind == 2 else ("group", "single")
        place = next((self._state.places[one, chat] for one in order if (one, chat) in self._state.places), None)
        if place is None:
            raise Refused(BAD_CHAT, "there is no such conversation")
        if not place.member:
            raise Refused(NOT_IN_CHAT, "the bot was taken out of the group")
        if not place.written:
            raise Refused(CHAT_NOT_ALLOWED, "nobody has written to the bot there")
        return place

    def _say(self, heard: Heard, via: str, place: Place, asked: Asked | None) -> Post:
        part = checks.mapping(heard.body.get(via), via)
        card: Json = {}
        text = ""
        if via == "template_card":
            card = cards.judged(part)
            if card.get("task_id") in self._state.cards:
                raise Refused(BAD_PARAMETER, "task_id was used before")
        else:
            text = checks.content(part.get("content"), f"{via}.content")
        feedback = checks.feedback(part)
        self._rates.check(place)
        return self._state.post(
            Post(
                number=self._state.number(), place=place, via=via, at=self._state.clock.now(), req_id=heard.req_id,
                asked=asked, text=text, card=card, feedback=feedback,
            )
        )  # fmt: skip
