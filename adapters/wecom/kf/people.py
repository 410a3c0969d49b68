"""What customers call themselves on WeChat: for operators' eyes, and worth no failure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from adapters.rendering.safe_text import clean
from adapters.wecom.client import Client
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.wire import WeComError
from bot.telemetry import get_logger

_AT_ONCE = 100
_NAME_CHARS = 100

log = get_logger(__name__)


class People:
    """Asks WeCom."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def names(self, customers: Collection[str]) -> Mapping[str, str]:
        """External user id → name, of those whose name WeCom gives."""
        wanted = list(dict.fromkeys(customers))
        found: dict[str, str] = {}
        try:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                answer = await self._client.post("kf/customer/batchget", {"external_userid_list": some})
                found |= _names(answer.get("customer_list"))
        except WeComError as error:
            log.info("wecom.names_unknown", channel=SECTION, reason=str(error))
        return found


def _names(listed: object) -> dict[str, str]:
    people = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    named = {str(one.get("external_userid")): _shown(one.get("nickname")) for one in people}
    return {customer: name for customer, name in named.items() if name}


def _shown(nickname: object) -> str:
    return " ".join(clean(nickname).split())[:_NAME_CHARS] if isinstance(nickname, str) else ""
