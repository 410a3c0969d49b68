"""What the fake answers when it refuses, in WeCom's own codes."""

from __future__ import annotations

from typing import Any

OUR_IP = "203.0.113.9"
"""Where WeCom sees the bot's calls come from; operators have to allow it."""

WORDS = {
    -1: "system busy",
    40001: "invalid credential",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40029: "invalid code",
    40035: "invalid parameter",
    40056: "invalid agentid",
    40058: "invalid Request Parameter",
    40091: "invalid secret",
    40096: "invalid external userid",
    41001: "access_token missing",
    41002: "corpid missing",
    41004: "corpsecret missing",
    42001: "access_token expired",
    42045: "Template_Card card_action Missing or Invalid",
    43001: "require GET method",
    43002: "require POST method",
    44004: "text content is empty",
    45002: "content size out of limit",
    45009: "api freq out of limit",
    45033: "api concurrent out of limit",
    48002: "api forbidden for no authority",
    60020: "not allow to access from your ip",
    81013: "user & party & tag all invalid",
    86001: "invalid chatid",
    93000: "invalid webhook url",
    95000: "invalid open_kfid",
    95001: "send msg count limit",
    95002: "send msg time limit",
    95007: "invalid msg token",
    95008: "menu items out of limit",
    95009: "invalid menu item type",
    95014: "user is not a servicer",
    95016: "not allow to change to this state",
    95018: "send msg session status invalid",
    301002: "not allow operate another agent with this accesstoken",
}


class Refused(Exception):
    """`{"errcode": N, "errmsg": …}` with HTTP 200, as every refusal of qyapi comes."""

    def __init__(self, errcode: int, about: str = "", **fields: Any) -> None:
        super().__init__(f"{errcode} {about}")
        self.errcode = errcode
        self.fields = fields
        words = f"{about}. {WORDS.get(errcode, 'refused')}" if about else WORDS.get(errcode, "refused")
        self.errmsg = (
            f"{words}, hint: [1763813580123456789012345], from ip: {OUR_IP}, "
            f"more info at https://open.work.weixin.qq.com/devtool/query?e={errcode}"
        )
