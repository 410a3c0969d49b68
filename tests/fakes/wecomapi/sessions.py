"""微信客服: its accounts, customers, sessions, and the log of what happened that sync_msg reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.wecomapi.state import Json, State

NEW, ASSISTANT, QUEUED, PERSON, ENDED = range(5)
MOVES = {
    NEW: {ASSISTANT, QUEUED, PERSON, ENDED},
    ASSISTANT: {QUEUED, PERSON, ENDED},
    QUEUED: {QUEUED, PERSON, ENDED},
    PERSON: {PERSON, ENDED},
    ENDED: set(),
}  # fmt: skip
"""From → to, as service_state/trans allows it; from the assistant to itself is refused too."""
HOURS_48 = 48 * 3600.0
QUOTA = 5


@dataclass(slots=True, kw_only=True)
class Session:
    """One customer's session with one account."""

    kf: str
    customer: str
    state: int = ENDED
    servicer: str = ""
    said_at: float = 0.0
    """When the customer last spoke; 0: never."""
    welcomed_at: float = 0.0
    """When the customer was last offered a welcome."""
    heard: int = 0
    """Messages we sent since then: five are allowed."""
    fails: list[int] = field(default_factory=list)
    """`fail_type` of the next messages that seem to be sent and are not."""


@dataclass(slots=True, kw_only=True)
class EventCode:
    """A welcome_code or msg_code: once, 20 seconds for a welcome."""

    session: Session
    kind: str
    expires_at: float
    used: bool = False


class Sessions:
    """Who speaks with whom, and everything that happened, in order."""

    def __init__(self, state: State, accounts: dict[str, str]) -> None:
        self._state = state
        self.accounts = accounts
        """open_kfid → name."""
        self.servicers: dict[str, bool] = {"zhangsan": True, "lisi": True}
        """Who answers customers; False: not at work."""
        self.customers: dict[str, str] = {}
        """external_userid → nickname."""
        self.log: list[Json] = []
        """What sync_msg gives, of all accounts."""
        self.codes: dict[str, EventCode] = {}
        self._sessions: dict[tuple[str, str], Session] = {}

    def session(self, kf: str, customer: str) -> Session:
        """Made on first mention: not begun (4)."""
        self.customers.setdefault(customer, f"客户{len(self.customers) + 1}")
        return self._sessions.setdefault((kf, customer), Session(kf=kf, customer=customer))

    def find(self, kf: str, customer: str) -> Session | None:
        return self._sessions.get((kf, customer))

    def record(self, session: Session, origin: int, msgtype: str, **content: object) -> str:
        """Writes it into the log; its msgid."""
        msgid = self._state.new_id("4WjjZVmdni5oc5PoFfy6U")
        item: Json = {"msgid": msgid, "send_time": int(self._state.clock.now()), "origin": origin, "msgtype": msgtype}
        if msgtype == "event":
            event = {"open_kfid": session.kf, "external_userid": session.customer, **content}
            item["event"] = event
        else:
            item |= {"open_kfid": session.kf, "external_userid": session.customer}
            item |= content
        self.log.append(item)
        self._state.touch()
        return msgid

    def code(self, session: Session, kind: str, seconds: float) -> str:
        value = self._state.new_id("v3uyFPrc_iERhNq4Fp8cv")
        self.codes[value] = EventCode(session=session, kind=kind, expires_at=self._state.clock.now() + seconds)
        return value

    def move(self, session: Session, to: int, servicer: str = "", change: int = 1) -> None:
        """A person or the API changed who has the session."""
        before, session.state = session.servicer, to
        session.servicer = servicer if to == PERSON else ""
        if change:
            self.record(
                session, 4, "event", event_type="session_status_change", change_type=change,
                old_servicer_userid=before, new_servicer_userid=session.servicer,
            )  # fmt: skip
        self._state.touch()


def kf_of(item: Json) -> str:
    """The account that an item of the log belongs to."""
    return str(item.get("open_kfid") or item.get("event", {}).get("open_kfid"))
