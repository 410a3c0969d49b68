"""What the fake answers when it refuses, in WeCom's own numbers."""

from __future__ import annotations

BUSY = -1
BAD_TYPE = 40008
BAD_PARAMETER = 40058
TOO_LONG = 45002
TOO_OFTEN = 45009
CHAT_NOT_ALLOWED = 93001
BAD_CHAT = 93006
NOT_IN_CHAT = 93008
BAD_REQ_ID = 846605
STREAM_EXPIRED = 846608
NOT_SUBSCRIBED = 846609
BAD_SECRET = 853000

_WORDS = {
    BUSY: "system error",
    BAD_TYPE: "invalid message type",
    BAD_PARAMETER: "invalid Request Parameter",
    TOO_LONG: "content size out of limit",
    TOO_OFTEN: "api freq out of limit",
    CHAT_NOT_ALLOWED: "this chat does not allow sending",
    BAD_CHAT: "invalid chatid",
    NOT_IN_CHAT: "robot is not in the chat",
    BAD_REQ_ID: "invalid req_id",
    STREAM_EXPIRED: "stream message update expired",
    NOT_SUBSCRIBED: "aibot websocket not subscribed",
    BAD_SECRET: "signature is incorrect, please check if the bot secret is correct",
}


class Refused(Exception):
    """An acknowledgement with an errcode."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(f"{code} {why}".rstrip())
        self.code = code
        self.why = why


def errmsg(code: int) -> str:
    """The words beside the number: with a hint and the caller's address in them, as WeCom's have."""
    if not code:
        return "ok"
    words = _WORDS.get(code, "error")
    more = f"https://open.work.weixin.qq.com/devtool/query?e={code}"
    return f"{words}, hint: [1773643642077182456917975], from ip: 127.0.0.1, more info at {more}"
