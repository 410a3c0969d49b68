"""What the self-built app (自建应用) says: message/*, appchat/*, agent/get, getcallbackip."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tests.fakes.wecomapi import cards
from tests.fakes.wecomapi.errors import OUR_IP, Refused
from tests.fakes.wecomapi.params import Asked, Method, content_of, shorten, size
from tests.fakes.wecomapi.rates import PER_MEMBER, Rates
from tests.fakes.wecomapi.state import Json, Message, State

LIMIT = 2048
_FIELDS = frozenset(
    [
        "touser", "toparty", "totag", "msgtype", "agentid", "text", "markdown", "template_card", "safe",
        "enable_id_trans", "enable_duplicate_check", "duplicate_check_interval",
    ]
)  # fmt: skip
_FOUR_HOURS = 4 * 3600
_CODE_LIFE = 72 * 3600.0
# What the app's Markdown does not know shows as it was typed.
_RAW = (
    ("table", re.compile(r"^\s*\|?[ :|-]*-{3,}[ :|-]*\|", re.MULTILINE)),
    ("fence", re.compile(r"^\s*(```|~~~)", re.MULTILINE)),
    ("image", re.compile(r"!\[[^\]]*\]\(")),
)


@dataclass(slots=True, kw_only=True)
class ResponseCode:
    """Lets the app change a card once, for 72 hours."""

    message: Message
    expires_at: float
    used: bool = False


class AppMessages:
    """Takes what the app sends to colleagues."""

    def __init__(self, state: State, rates: Rates) -> None:
        self._state = state
        self._rates = rates
        self._contents: dict[str, float] = {}
        self.swallowed: list[Json] = []
        """What the duplicate check kept from its readers."""
        self.codes: dict[str, ResponseCode] = {}
        self.task_ids: set[str] = set()
        self.chats: dict[str, Json] = {}

    def table(self) -> dict[str, Method]:
        return {
            "message/send": Method("POST", "message", self.send),
            "message/recall": Method("POST", "message", self.recall),
            "message/update_template_card": Method("POST", "message", self.update_card),
            "appchat/create": Method("POST", "message", self.create_chat),
            "appchat/get": Method("GET", "message", self.get_chat),
            "appchat/send": Method("POST", "message", self.send_to_chat),
            "agent/get": Method("GET", "message", self.agent),
            "getcallbackip": Method("GET", "message", lambda asked: {"ip_list": [f"{OUR_IP[:-1]}20"]}),
            "get_api_domain_ip": Method("GET", "message", lambda asked: {"ip_list": [f"{OUR_IP[:-1]}21"]}),
        }

    # -- Sending --

    def send(self, asked: Asked) -> Json:
        asked.only(_FIELDS)
        self._agent(asked, asked.body.get("agentid"))
        msgtype, text = self._content(asked)
        good, bad = self._receivers(asked)
        if not good:
            raise Refused(81013, invaliduser="|".join(bad))
        msgid = self._state.new_id("msg")
        answer: Json = {"msgid": msgid} | ({"invaliduser": "|".join(bad)} if bad else {})
        if self._repeated(asked, good, text):
            self.swallowed.append(asked.body)
            return answer
        if msgtype == "template_card":
            self._new_task(asked.body["template_card"])
        said = [self._deliver(asked, user, msgid, msgtype, text) for user in good]
        asked.call.msgid = msgid
        if msgtype == "template_card" and asked.body["template_card"]["card_type"] in cards.CLICKABLE:
            shown = next((one for one in said if one is not None), None)
            if shown is not None:
                answer["response_code"] = self.code(shown)
        return answer

    def _new_task(self, card: Json) -> None:
        """:raises Refused: the app sent a card with this task_id before."""
        task = card.get("task_id")
        if task in self.task_ids:
            raise Refused(40058, "template_card.task_id repeated")
        if task is not None:
            self.task_ids.add(task)

    def code(self, message: Message) -> str:
        """A new response_code for this card."""
        value = self._state.new_id("rc")
        self.codes[value] = ResponseCode(message=message, expires_at=self._state.clock.now() + _CODE_LIFE)
        return value

    def _agent(self, asked: Asked, agent: object) -> None:
        assert asked.secret is not None
        if isinstance(agent, bool) or not isinstance(agent, int):
            # WeCom takes digits in a string too; the documentation says integer, so we hold the bot to it.
            asked.breaks("agentid", "is no integer")
        try:
            number = int(str(agent))
        except ValueError:
            raise Refused(40056) from None
        if number != asked.secret.agent_id:
            raise Refused(301002)

    def _content(self, asked: Asked) -> tuple[str, str]:
        """The type, and what a reader sees of it."""
        msgtype = asked.body.get("msgtype")
        if msgtype == "template_card":
            return msgtype, cards.words(cards.judge(asked.body.get("template_card")))
        if msgtype not in {"text", "markdown"}:
            raise Refused(40008)
        text = content_of(asked.part(msgtype))
        if size(text) > LIMIT:
            asked.breaks("truncated", f"{size(text)} bytes of {msgtype}; the reader gets {LIMIT} and nobody is told")
            text = shorten(text, LIMIT)
        for name, pattern in _RAW if msgtype == "markdown" else ():
            if pattern.search(text):
                asked.breaks("markdown", f"a {name} is no part of the app's Markdown")
        if "<@all>" in text:
            asked.breaks("mention", "<@all>")
        return msgtype, text

    def _receivers(self, asked: Asked) -> tuple[list[str], list[str]]:
        """Known and unknown receivers, in lower case as WeCom returns them."""
        named = asked.body.get("touser") or ""
        if not isinstance(named, str):
            raise Refused(40035, "touser is no string")
        if named == "@all":
            asked.breaks("receivers", "@all")
        if asked.body.get("toparty") or asked.body.get("totag"):
            asked.breaks("receivers", "a department or a tag")
        users = [one.strip().lower() for one in named.split("|") if one.strip()]
        if len(users) > 1000:
            raise Refused(40035, "touser exceeds 1000")
        return [one for one in users if one in self._state.members], [
            one for one in users if one not in self._state.members
        ]

    def _repeated(self, asked: Asked, users: list[str], text: str) -> bool:
        """Whether the duplicate check swallows it: it compares what is said to whom, not who asked."""
        if asked.body.get("enable_duplicate_check", 0) != 1:
            return False
        interval = asked.body.get("duplicate_check_interval", 1800)
        if not isinstance(interval, int) or not 0 < interval <= _FOUR_HOURS:
            raise Refused(40035, "duplicate_check_interval")
        part = json.dumps(asked.body.get(str(asked.body["msgtype"])), sort_keys=True)
        key, now = f"{'|'.join(sorted(users))} {part}", self._state.clock.now()
        last = self._contents.get(key)
        if last is not None and now - last < interval:
            return True
        self._contents[key] = now
        return False

    def _deliver(self, asked: Asked, user: str, msgid: str, msgtype: str, text: str) -> Message | None:
        if self._rates.over(f"app {user}", PER_MEMBER):
            asked.breaks("rate", f"{user} hears too much; dropped, and nobody is told")
            return None
        return self._state.say(
            Message(
                channel="app", place=user, msgid=msgid, msgtype=msgtype, text=text, body=asked.body,
                at=self._state.clock.now(),
            )
        )  # fmt: skip

    # -- Afterwards --

    def recall(self, asked: Asked) -> Json:
        """Within 24 hours."""
        msgid = asked.text("msgid")
        found = [one for one in self._state.messages if one.channel == "app" and one.msgid == msgid]
        if not found or found[0].at < self._state.clock.now() - 24 * 3600:
            raise Refused(40035, "msgid")
        for one in found:
            one.recalled = True
        return {}

    def update_card(self, asked: Asked) -> Json:
        self._agent(asked, asked.body.get("agentid"))
        found = self.codes.get(asked.text("response_code"))
        if found is None or found.expires_at <= self._state.clock.now():
            raise Refused(40029)
        if found.used:
            asked.breaks("response_code", "used a second time")
            raise Refused(40029)
        change = self._change(asked)
        users = [user.lower() for user in asked.names("userids", 1000)] if not asked.body.get("atall") else []
        found.used = True
        self.change_card(found.message, change)
        unknown = [user for user in users if user not in self._state.members]
        return {"invaliduser": unknown} if unknown else {}

    def change_card(self, message: Message, change: Json) -> None:
        """The card shows something else from now on."""
        message.updated.append(change)
        card = change.get("template_card")
        message.text = cards.words(card) if card else f"{message.text}\n[{change['button']['replace_name']}]"
        self._state.touch()

    def _change(self, asked: Asked) -> Json:
        if "button" in asked.body:
            name = asked.part("button").get("replace_name")
            if not isinstance(name, str) or not name:
                raise Refused(40058, "button.replace_name missing")
            return {"button": {"replace_name": name}}
        return {"template_card": cards.judge(asked.body.get("template_card"), fresh=False)}

    # -- Groups that the app made --

    def create_chat(self, asked: Asked) -> Json:
        users = asked.names("userlist", 2000)
        if len(users) < 2 or any(user.lower() not in self._state.members for user in users):
            raise Refused(40035, "userlist")
        chat = str(asked.body.get("chatid") or self._state.new_id("wr"))
        self.chats[chat] = {"chatid": chat, "name": asked.body.get("name", ""), "userlist": users}
        return {"chatid": chat}

    def get_chat(self, asked: Asked) -> Json:
        return {"chat_info": self._chat(asked.query.get("chatid", ""))}

    def send_to_chat(self, asked: Asked) -> Json:
        chat = self._chat(asked.text("chatid"))
        msgtype, text = self._content(asked)
        said = Message(
            channel="appchat", place=chat["chatid"], msgid=self._state.new_id("msg"), msgtype=msgtype, text=text,
            body=asked.body, at=self._state.clock.now(),
        )  # fmt: skip
        self._state.say(said)
        return {"msgid": said.msgid}

    def _chat(self, chat: str) -> Json:
        if chat not in self.chats:
            raise Refused(86001)
        return self.chats[chat]

    def agent(self, asked: Asked) -> Json:
        assert asked.secret is not None
        number = asked.query.get("agentid", "")
        if not number.isdigit():
            raise Refused(40056)
        if int(number) != asked.secret.agent_id:
            raise Refused(301002)
        return {"agentid": int(number), "name": "客服", "close": 0, "allow_userinfos": {"user": []}}
