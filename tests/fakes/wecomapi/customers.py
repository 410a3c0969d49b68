"""What external customers do on WeChat, and what the people do who answer them."""

from __future__ import annotations

from tests.fakes.wecomapi import sessions as kinds
from tests.fakes.wecomapi.feed import Delivery, Feed
from tests.fakes.wecomapi.kf import Kf
from tests.fakes.wecomapi.sealing import xml
from tests.fakes.wecomapi.sessions import Session, Sessions
from tests.fakes.wecomapi.state import State

WELCOME_SECONDS = 20.0


class Customers:
    """The deeds. The bot is told at once that there is something to read, unless `quiet`: then `tells` does it."""

    def __init__(self, state: State, feed: Feed, sessions: Sessions, kf: Kf, account: str) -> None:
        self._state = state
        self._feed = feed
        self._sessions = sessions
        self._kf = kf
        self._account = account

    def says(self, customer: str, content: str, *, menu_id: str = "", kf: str = "", quiet: bool = False) -> str:
        """The msgid. A session that was over or never begun is new (0) again."""
        text = {"content": content} | ({"menu_id": menu_id} if menu_id else {})
        return self.sends(customer, "text", kf=kf, quiet=quiet, text=text)

    def sends(self, customer: str, msgtype: str, *, kf: str = "", quiet: bool = False, **content: object) -> str:
        """Any message: image={"media_id": …}, voice, video, file, location, link, business_card, miniprogram, …"""
        session = self._session(customer, kf)
        if session.state == kinds.ENDED or self._state.clock.now() - session.said_at > kinds.HOURS_48:
            session.state, session.servicer = kinds.NEW, ""
        session.said_at, session.heard = self._state.clock.now(), 0
        return self._happens(session, 3, msgtype, quiet, **content)

    def enters(
        self, customer: str, *, kf: str = "", scene: str = "", scene_param: str = "", quiet: bool = False
    ) -> str:
        """Opens the conversation; with a welcome code if nothing was said or offered for 48 hours."""
        session = self._session(customer, kf)
        now = self._state.clock.now()
        fields: dict[str, object] = {"scene": scene}
        if scene_param:
            fields["scene_param"] = scene_param
        if now - max(session.said_at, session.welcomed_at) > kinds.HOURS_48:
            session.welcomed_at = now
            fields["welcome_code"] = self._sessions.code(session, "welcome", WELCOME_SECONDS)
        return self._happens(session, 4, "event", quiet, event_type="enter_session", **fields)

    def does(self, customer: str, event_type: str, *, kf: str = "", quiet: bool = False, **fields: object) -> str:
        """Any other event: servicer_status_change, reject_customer_msg_switch_change, or unheard of."""
        return self._happens(self._session(customer, kf), 4, "event", quiet, event_type=event_type, **fields)

    def recalls(self, customer: str, msgid: str, *, kf: str = "") -> str:
        session = self._session(customer, kf)
        return self._happens(session, 4, "event", False, event_type="user_recall_msg", recall_msgid=msgid)

    def refuses(self, customer: str, *, times: int = 1, fail_type: int = 10, kf: str = "") -> None:
        """The next messages seem to be sent; `msg_send_fail` comes afterwards."""
        self._session(customer, kf).fails.extend([fail_type] * times)

    # -- Those who answer --

    def is_taken(self, customer: str, servicer: str = "zhangsan", *, kf: str = "", quiet: bool = False) -> None:
        """A person takes the session over."""
        session = self._session(customer, kf)
        self._sessions.move(session, kinds.PERSON, servicer, change=2 if session.state == kinds.PERSON else 1)
        if not quiet:
            self.tells(session.kf)

    def is_answered(
        self, customer: str, content: str, *, servicer: str = "zhangsan", kf: str = "", quiet: bool = False
    ) -> str:
        """The person writes to the customer in WeCom: origin 5. Into a session that is over, this opens it again."""
        session = self._session(customer, kf)
        if session.state != kinds.PERSON:
            self._sessions.move(session, kinds.PERSON, servicer, change=4)
        return self._happens(session, 5, "text", quiet, servicer_userid=session.servicer, text={"content": content})

    def is_over(self, customer: str, *, kf: str = "", quiet: bool = False) -> None:
        """The person ends the session."""
        session = self._session(customer, kf)
        self._sessions.move(session, kinds.ENDED, change=3)
        if not quiet:
            self.tells(session.kf)

    def servicer(self, user: str, *, works: bool) -> None:
        self._sessions.servicers[user] = works

    # -- Telling the bot --

    def tells(self, kf: str = "", *, token: bool = True) -> Delivery:
        """`kf_msg_or_event`: there is something to read."""
        kf = kf or self._account
        fields = {
            "ToUserName": self._state.corp_id, "CreateTime": int(self._state.clock.now()), "MsgType": "event",
            "Event": "kf_msg_or_event", "Token": self._kf.new_token(kf) if token else "", "OpenKfId": kf,
        }  # fmt: skip
        return self._feed.push("kf", xml(fields), self._state.new_id("kf"))

    def _happens(self, session: Session, origin: int, msgtype: str, quiet: bool, **content: object) -> str:
        msgid = self._sessions.record(session, origin, msgtype, **content)
        if not quiet:
            self.tells(session.kf)
        return msgid

    def _session(self, customer: str, kf: str) -> Session:
        return self._sessions.session(kf or self._account, customer)
