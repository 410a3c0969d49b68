"""Buttons that were pressed: what they look like afterwards. Not worth more than a try."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict

from adapters.wecom import phrases
from adapters.wecom.app.parsing import Press
from adapters.wecom.client import Client
from adapters.wecom.wire import WeComError
from bot.messages import Language
from bot.telemetry import get_logger

_WAITING = 1000
_REMEMBERED = 10_000

log = get_logger(__name__)


class Presses:
    """Takes presses at any time and answers them while `run` does. Past the bound they are let go: the person sees the
    reply."""

    def __init__(self, client: Client, agent_id: int) -> None:
        self._client = client
        self._agent_id = agent_id
        self._waiting: asyncio.Queue[Press] = asyncio.Queue(_WAITING)
        self._languages: OrderedDict[str, Language] = OrderedDict()

    def put(self, press: Press) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(press)

    def spoke(self, user: str, language: Language) -> None:
        """In which language they were answered last: WeCom does not say which they speak."""
        self._languages[user] = language
        self._languages.move_to_end(user)
        if len(self._languages) > _REMEMBERED:
            self._languages.popitem(last=False)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            press = await self._waiting.get()
            try:
                await self._answer(press)
            except WeComError as error:
                log.debug("wecom_app.press_not_answered", reason=str(error))

    async def _answer(self, press: Press) -> None:
        language = self._languages.get(press.user, phrases.DEFAULT_LANGUAGE)
        await self._client.post(
            "message/update_template_card",
            {
                "userids": [press.user],
                "agentid": self._agent_id,
                "response_code": press.response_code,
                "button": {"replace_name": phrases.FORWARDED[language]},
            },
        )
