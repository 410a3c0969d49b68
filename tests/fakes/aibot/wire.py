"""One connection to the fake AI-bot server, without any client's manners."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import aiohttp

from tests.fakes.aibot.state import State


class Wire:
    """Sends frames and waits for their acknowledgements."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self._numbers = count(1)

    async def send(self, cmd: str, body: Any = None, req_id: str = "") -> str:
        req_id = req_id or f"r{next(self._numbers)}"
        await self.ws.send_json({"cmd": cmd, "headers": {"req_id": req_id}, "body": body or {}})
        return req_id

    async def ask(self, cmd: str, body: Any = None, req_id: str = "") -> int:
        """The errcode of the acknowledgement."""
        sent = await self.send(cmd, body, req_id)
        while True:
            frame = await self.next()
            if "errcode" in frame and frame["headers"]["req_id"] == sent:
                return int(frame["errcode"])

    async def next(self) -> Any:
        async with asyncio.timeout(3):
            return await self.ws.receive_json()

    async def subscribe(self, state: State) -> int:
        return await self.ask("aibot_subscribe", {"bot_id": state.bot_id, "secret": state.secret})

    async def stream(self, req_id: str, text: str, *, stream: str = "s1", finish: bool = True, **more: Any) -> int:
        about = {"id": stream, "content": text, "finish": finish, **more}
        return await self.ask("aibot_respond_msg", {"msgtype": "stream", "stream": about}, req_id)

    async def push(self, chat: str, text: str = "hi", kind: int = 1) -> int:
        body = {"chatid": chat, "chat_type": kind, "msgtype": "markdown", "markdown": {"content": text}}
        return await self.ask("aibot_send_msg", body)

    async def closed(self) -> bool:
        async with asyncio.timeout(3):
            async for _ in self.ws:
                pass
        return True
