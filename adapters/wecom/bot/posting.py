"""The one answer to a message that may come later than its callback: at its response_url, for an hour, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.wecom.bot.rows import Rows
from adapters.wecom.bot.timing import BotTiming
from adapters.wecom.failures import as_send_error
from adapters.wecom.wire import NoAnswer, Refused, Transport, WeComError
from bot.errors import NotSent, Undeliverable
from bot.messages import ConversationRef

METHOD = "cgi-bin/aibot/response"
_CODES_TRIED = 3
_USED_UP = frozenset({40001, 40029, 41008, 42003})
"""The code was used, or is too old. Which number says so WeCom's page does not tell; these have been seen."""


class Poster:
    """Spends the codes of messages."""

    def __init__(self, transport: Transport, rows: Rows, timing: BotTiming) -> None:
        self._transport = transport
        self._rows = rows
        self._timing = timing

    async def post(self, conversation: ConversationRef, body: Mapping[str, Any], use: str) -> None:
        """Sends a message of its own there. Repeating it for the same `use` is harmless, after a crash too: a code is
        claimed for good before it is used, and WeCom takes it once.

        :raises Undeliverable: there is no way left; the operators have the reply.
        :raises NotSent, PerhapsSent, StoreUnavailable: it may be tried again.
        """
        for _ in range(_CODES_TRIED):
            code, claimed_before = await self._rows.claim_code(conversation, use, seconds=self._timing.response_life)
            if not code:
                raise Undeliverable("the time for an answer is over: WeCom takes one when somebody writes again")
            if await self._posted(code, body, use) or claimed_before:
                return
            await self._rows.spoil_code(use)
        raise NotSent("WeCom takes none of the codes that it gave us", retry_after=self._timing.upkeep)

    async def _posted(self, code: str, body: Mapping[str, Any], use: str) -> bool:
        """False: it takes this code for nothing more."""
        try:
            await self._transport.post(METHOD, {"response_code": code}, body)
        except NoAnswer as error:
            raise as_send_error(error, self._timing) from None  # the code stays claimed: the next try learns the truth
        except Refused as refused:
            if refused.errcode in _USED_UP:
                return False
            await self._rows.release_code(use)
            raise as_send_error(refused, self._timing) from None
        except WeComError as error:
            await self._rows.release_code(use)
            raise as_send_error(error, self._timing) from None
        return True

    async def close(self) -> None:
        await self._transport.close()
