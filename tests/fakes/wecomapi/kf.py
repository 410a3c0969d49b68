"""微信客服's methods: kf/sync_msg, send_msg, send_msg_on_event, service_state, accounts and customers."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from tests.fakes.wecomapi import sessions as kinds
from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.params import Asked, Method, content_of, size
from tests.fakes.wecomapi.rates import WITHOUT_TOKEN, Rates
from tests.fakes.wecomapi.sessions import Session, Sessions, kf_of
from tests.fakes.wecomapi.state import Json, Message, State

LIMIT = 2048
_MSGID = re.compile(r"[0-9a-zA-Z_-]{1,32}")
_DAYS_3 = 3 * 24 * 3600
_TOKEN_LIFE = 600.0
_MENU_TYPES = frozenset(["click", "view", "miniprogram", "text"])


class Kf:
    """Takes what is said to customers, and gives what they said."""

    def __init__(self, state: State, sessions: Sessions, rates: Rates) -> None:
        self._state = state
        self._sessions = sessions
        self._rates = rates
        self.tokens: dict[str, tuple[float, str]] = {}
        """The callbacks' tokens: until when, and for which account."""
        self.page = 1000
        """Items a page, however many the bot asks for: WeCom gives fewer when it likes."""
        self.empty_pages = 0
        """So many of the next pages are empty, with `has_more` 1."""
        self.msgids: dict[str, Message | None] = {}
        self.repeated: list[str] = []
        """msgids that came a second time; their messages were not shown again."""
        self.repeat_errcode = 0
        """What a repeated msgid is answered: like the first time, or with this code. WeCom does not say."""

    def table(self) -> dict[str, Method]:
        return {
            "kf/sync_msg": Method("POST", "kf", self.sync),
            "kf/send_msg": Method("POST", "kf", self.send),
            "kf/send_msg_on_event": Method("POST", "kf", self.send_on_event),
            "kf/service_state/get": Method("POST", "kf", self.get_state),
            "kf/service_state/trans": Method("POST", "kf", self.trans),
            "kf/account/list": Method("POST", "kf", self.accounts),
            "kf/servicer/list": Method("GET", "kf", self.servicers),
            "kf/customer/batchget": Method("POST", "kf", self.batchget),
        }

    def new_token(self, kf: str) -> str:
        """What a callback lets the bot read with, for ten minutes."""
        value = self._state.new_id("ENCApHxnGDNAVNY4AaSJKj4Tb5m")
        self.tokens[value] = (self._state.clock.now() + _TOKEN_LIFE, kf)
        return value

    # -- Reading --

    def sync(self, asked: Asked) -> Json:
        asked.only({"cursor", "token", "limit", "voice_format", "open_kfid"})
        kf = str(asked.body.get("open_kfid") or "")
        if kf and kf not in self._sessions.accounts:
            raise Refused(95000)
        self._judge_token(asked)
        limit = asked.body.get("limit", 1000)
        if not isinstance(limit, int) or not 0 < limit <= 1000:
            raise Refused(40035, "limit")
        start = self._start(asked, kf)
        if self.empty_pages > 0:
            self.empty_pages -= 1
            return {"next_cursor": _cursor(kf, start), "has_more": 1, "msg_list": []}
        return self._page(kf, start, min(limit, self.page))

    def _judge_token(self, asked: Asked) -> None:
        token = asked.body.get("token")
        if not token:
            if self._rates.over("sync without token", WITHOUT_TOKEN):
                raise Refused(45009)
            return
        until, _ = self.tokens.get(str(token), (0.0, ""))
        if until <= self._state.clock.now():
            raise Refused(95007)

    def _start(self, asked: Asked, kf: str) -> int:
        """Where in the log to go on; three days back without a cursor."""
        cursor = asked.body.get("cursor")
        if not cursor:
            since = self._state.clock.now() - _DAYS_3
            return next((at for at, item in enumerate(self._sessions.log) if item["send_time"] >= since), 0)
        if not isinstance(cursor, str) or size(cursor) > 64:
            raise Refused(40035, "cursor")
        try:
            whose, _, position = urlsafe_b64decode(cursor).decode().rpartition(":")
            number = int(position)
        except ValueError:
            raise Refused(40035, "cursor") from None
        if whose != kf:
            asked.breaks("cursor", "of another account")
        return number

    def _page(self, kf: str, start: int, limit: int) -> Json:
        found: list[Json] = []
        at = start
        for at in range(start, len(self._sessions.log)):
            item = self._sessions.log[at]
            if kf and kf_of(item) != kf:
                continue
            if len(found) == limit:
                return {"next_cursor": _cursor(kf, at), "has_more": 1, "msg_list": found}
            found.append(item)
        return {"next_cursor": _cursor(kf, len(self._sessions.log)), "has_more": 0, "msg_list": found}

    # -- Saying --

    def send(self, asked: Asked) -> Json:
        asked.only({"touser", "open_kfid", "msgid", "msgtype", "text", "msgmenu", "link"})
        session = self._session(asked, asked.text("open_kfid"), asked.text("touser"))
        text = self._content(asked, {"text", "msgmenu", "link"})
        msgid = self._msgid(asked)
        if self._repeats(msgid):
            return {"msgid": msgid}
        self._judge(asked, session)
        session.heard += 1
        self.msgids[msgid] = None
        if session.fails:
            kind = session.fails.pop(0)
            self._sessions.record(session, 4, "event", event_type="msg_send_fail", fail_msgid=msgid, fail_type=kind)
        else:
            self.msgids[msgid] = self._say(asked, session, msgid, text)
        return {"msgid": msgid}

    def _judge(self, asked: Asked, session: Session) -> None:
        """:raises Refused: 95018, 95002, 95001."""
        if session.state not in {kinds.NEW, kinds.ASSISTANT}:
            asked.breaks("silence", f"state {session.state} is none to speak in")
            raise Refused(95018)
        if self._state.clock.now() - session.said_at > kinds.HOURS_48:
            asked.breaks("window", "48 hours are over")
            raise Refused(95002)
        if session.heard >= kinds.QUOTA:
            asked.breaks("quota", "a sixth message since the customer spoke")
            raise Refused(95001)

    def send_on_event(self, asked: Asked) -> Json:
        asked.only({"code", "msgid", "msgtype", "text", "msgmenu"})
        text = self._content(asked, {"text", "msgmenu"})
        msgid = self._msgid(asked)
        if self._repeats(msgid):
            return {"msgid": msgid}
        code = self._sessions.codes.get(asked.text("code"))
        if code is None or code.expires_at <= self._state.clock.now():
            raise Refused(40029)
        if code.used:
            asked.breaks("code", f"a {code.kind} code used a second time")
            raise Refused(40029)
        code.used = True
        self.msgids[msgid] = self._say(asked, code.session, msgid, text, on_event=True)
        return {"msgid": msgid}

    def _say(self, asked: Asked, session: Session, msgid: str, text: str, on_event: bool = False) -> Message:
        asked.call.msgid = msgid
        return self._state.say(
            Message(
                channel="kf", place=session.customer, msgid=msgid, msgtype=asked.body["msgtype"], text=text,
                body=asked.body, at=self._state.clock.now(), kf=session.kf, on_event=on_event,
            )
        )  # fmt: skip

    def _session(self, asked: Asked, kf: str, customer: str) -> Session:
        if kf not in self._sessions.accounts:
            raise Refused(95000)
        found = self._sessions.find(kf, customer)
        if found is None:
            raise Refused(40096)
        return found

    def _msgid(self, asked: Asked) -> str:
        msgid = asked.body.get("msgid")
        if msgid is None:
            return self._state.new_id("kf")
        if not isinstance(msgid, str) or not _MSGID.fullmatch(msgid):
            asked.breaks("msgid", "not 1 to 32 of [0-9a-zA-Z_-]")
            raise Refused(40058, "msgid exceed max length 32")
        return msgid

    def _repeats(self, msgid: str) -> bool:
        """Whether it was sent before.

        :raises Refused: it was, and `repeat_errcode` is set.
        """
        if msgid not in self.msgids:
            return False
        self.repeated.append(msgid)
        if self.repeat_errcode:
            raise Refused(self.repeat_errcode)
        return True

    def _content(self, asked: Asked, allowed: set[str]) -> str:
        msgtype = asked.body.get("msgtype")
        if msgtype not in allowed:
            raise Refused(40008)
        part = asked.part(msgtype)
        if msgtype == "msgmenu":
            return _menu(asked, part)
        if msgtype == "link":
            return f"{content_of(part, name='title')} {content_of(part, name='url')}"
        text = content_of(part)
        if size(text) > LIMIT:
            asked.breaks("length", f"{size(text)} bytes of text")
            raise Refused(45002)
        return text

    # -- Sessions, accounts, customers --

    def get_state(self, asked: Asked) -> Json:
        session = self._session(asked, asked.text("open_kfid"), asked.text("external_userid"))
        return {"service_state": session.state, "servicer_userid": session.servicer}

    def trans(self, asked: Asked) -> Json:
        asked.only({"open_kfid", "external_userid", "service_state", "servicer_userid"})
        session = self._session(asked, asked.text("open_kfid"), asked.text("external_userid"))
        to = asked.body.get("service_state")
        if to not in kinds.MOVES[session.state]:
            raise Refused(95016)
        servicer = str(asked.body.get("servicer_userid") or "")
        if to == kinds.PERSON and not self._sessions.servicers.get(servicer):
            raise Refused(95014)
        self._sessions.move(session, to, servicer, change=0)
        if to == kinds.ASSISTANT:
            return {}
        kind = "farewell" if to == kinds.ENDED else "greeting"
        return {"msg_code": self._sessions.code(session, kind, kinds.HOURS_48)}

    def accounts(self, asked: Asked) -> Json:
        listed = [
            {"open_kfid": kf, "name": name, "avatar": "", "manage_privilege": True}
            for kf, name in self._sessions.accounts.items()
        ]
        offset, limit = asked.body.get("offset", 0), asked.body.get("limit", 100)
        return {"account_list": listed[offset : offset + limit]}

    def servicers(self, asked: Asked) -> Json:
        if asked.query.get("open_kfid") not in self._sessions.accounts:
            raise Refused(95000)
        listed = [{"userid": one, "status": 0 if works else 1} for one, works in self._sessions.servicers.items()]
        return {"servicer_list": listed}

    def batchget(self, asked: Asked) -> Json:
        names = asked.names("external_userid_list", 100)
        known = self._sessions.customers
        return {
            "customer_list": [
                {"external_userid": one, "nickname": known[one], "avatar": "", "gender": 0, "unionid": ""}
                for one in names
                if one in known
            ],
            "invalid_external_userid": [one for one in names if one not in known],
        }


def _menu(asked: Asked, menu: Json) -> str:
    """What a customer reads of a menu."""
    head, tail, items = menu.get("head_content", ""), menu.get("tail_content", ""), menu.get("list") or []
    if max(size(head), size(tail)) > 1024:
        asked.breaks("length", "the menu's head or tail")
        raise Refused(45002)
    if len(items) > 10:
        raise Refused(95008)
    lines = [head]
    for item in items:
        if item.get("type") not in _MENU_TYPES:
            raise Refused(95009)
        content = item.get(item["type"]) or {}
        if not 1 <= size(str(content.get("content", ""))) <= 128 or size(str(content.get("id", ""))) > 128:
            asked.breaks("length", "a menu item's content or id")
            raise Refused(45002)
        lines.append(f"[{content['content']}]")
    return "\n".join(line for line in [*lines, tail] if line)


def _cursor(kf: str, position: int) -> str:
    return urlsafe_b64encode(f"{kf}:{position}".encode()).decode()
