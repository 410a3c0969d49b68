"""Who has a customer, as WeCom knows it, and passing them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.wecom.client import Client
from adapters.wecom.failures import (
    BUSY,
    DEAD_TOKEN,
    TOO_MANY_AT_ONCE,
    TOO_OFTEN,
    is_about_one_method,
    is_about_settings,
    operator_line,
)
from adapters.wecom.kf.parsing import Holder
from adapters.wecom.kf.settings import DESK, POOL, SECTION
from adapters.wecom.wire import Refused, WeComError
from bot.messages import ConversationRef
from bot.telemetry import get_logger

_QUEUED, _PERSON = 2, 3
_HOLDERS: Final[Mapping[int, Holder]] = {0: "bot", 1: "bot", _QUEUED: "queue", _PERSON: "person", 4: "bot"}
"""By `service_state`: new, ours, in the pool, with a colleague, ended (whoever writes then begins anew with us)."""
_NOT_A_SERVICER = 95014
_PASSING = frozenset({BUSY, TOO_OFTEN, TOO_MANY_AT_ONCE, *DEAD_TOKEN})

log = get_logger(__name__)


class Holding:
    """Asks WeCom who has a customer, and hands customers over to colleagues."""

    def __init__(self, client: Client, *, hand_over_to: str) -> None:
        """:param hand_over_to: as in the settings."""
        self._client = client
        self._hand_over_to = hand_over_to

    @property
    def hands_over(self) -> bool:
        """Whether anybody in WeCom is to get customers."""
        return self._hand_over_to != DESK

    async def ask(self, conversation: ConversationRef) -> Holder:
        """
        :raises WeComError: nobody knows now.
        """
        try:
            answer = await self._client.post("kf/service_state/get", _session(conversation))
        except Refused as refused:
            if is_passing(refused):
                raise
            # About this customer WeCom will not say: then it is told by whether it takes what we send.
            log.warning("wecom.session_unknown", channel=SECTION, reason=str(refused))
            return "bot"
        return _HOLDERS.get(_state(answer), "bot")

    async def hand_over(self, conversation: ConversationRef) -> Holder:
        """Passes the customer on. Doing it twice is harmless. Where WeCom will not, the ticket is what is left, and
        operators are told.

        :raises WeComError: WeCom can not be asked now; it is worth trying again.
        """
        try:
            if self._hand_over_to == POOL:
                return await self._pass_on(conversation, _QUEUED)
            return await self._to_colleague(conversation)
        except Refused as refused:
            if is_passing(refused):
                raise
            holder = await self.ask(conversation)
            if holder == "bot":
                log.error("wecom.not_handed_over", channel=SECTION, reason=operator_line(refused, SECTION))
            return holder

    async def _to_colleague(self, conversation: ConversationRef) -> Holder:
        try:
            return await self._pass_on(conversation, _PERSON, servicer_userid=self._hand_over_to)
        except Refused as refused:
            if refused.errcode != _NOT_A_SERVICER:
                raise
            # Not at work, or not a receiver of customers any more: better any colleague than none.
            log.warning("wecom.colleague_away", channel=SECTION, setting=f"{SECTION}.hand_over_to")
            return await self._pass_on(conversation, _QUEUED)

    async def _pass_on(self, conversation: ConversationRef, state: int, **more: str) -> Holder:
        body = {**_session(conversation), "service_state": state, **more}
        await self._client.post("kf/service_state/trans", body)
        return _HOLDERS[state]


def _session(conversation: ConversationRef) -> dict[str, Any]:
    return {"open_kfid": conversation.channel, "external_userid": conversation.thread}


def _state(answer: Mapping[str, Any]) -> int:
    state = answer.get("service_state")
    return state if isinstance(state, int) else 0


def is_passing(refused: WeComError) -> bool:
    """Whether the same may be allowed later, without anybody changing what it is about."""
    if isinstance(refused, Refused) and (refused.errcode in _PASSING or not refused.errcode):
        return True
    return is_about_settings(refused) and not is_about_one_method(refused)
