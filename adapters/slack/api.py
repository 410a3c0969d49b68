"""The Web API, called as one of the workspaces that we are installed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.slack.failures import is_dead_token
from adapters.slack.timing import Timing
from adapters.slack.wire import Refused, Tokens, Transport


class Api:
    """Calls methods by their names. Every failure is one of `adapters.slack.wire`'s three, or CredentialsRefused."""

    def __init__(self, *, url: str, tokens: Tokens, timing: Timing, transport: Transport | None = None) -> None:
        """`transport`: where there is one already, to the same address."""
        self._tokens = tokens
        self._transport = transport or Transport(url=url, timing=timing)
        self._bots: dict[str, str] = {}

    async def call(self, account: str, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Slack's answer. Arguments that are None are left out.

        :raises Refused, NotReached, NoAnswer: as their own words say.
        :raises CredentialsRefused: there is no token that works.
        """
        token = await self._tokens.token(account)
        try:
            return await self._transport.call(token, method, arguments)
        except Refused as refused:
            if is_dead_token(refused):
                self._tokens.revoked(account, refused.error)
            raise

    async def bot(self, account: str) -> str:
        """The id under which our own messages stand in this workspace (`bot_id`).

        :raises Refused, NotReached, NoAnswer, CredentialsRefused: as `call`.
        """
        known = self._bots.get(account)
        if known is None:
            answer = await self.call(account, "auth.test")
            known = self._bots[account] = str(answer.get("bot_id") or "")
        return known

    async def close(self) -> None:
        """Ends every connection."""
        await self._transport.close()
