"""What goes wrong between the bot and a platform, on order: the part that every fake platform shares."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import web

PAGE = "<html>\r\n<head><title>{code} Server Error</title></head>\r\n<body>Our team has been told.</body></html>"


class Answered(Protocol):
    """A call as far as faults know it."""

    method: str
    params: dict[str, Any]
    status: int


@dataclass(slots=True, kw_only=True)
class Planned:
    """One programmed fault. It hits matching calls number skip+1, skip+1+every, … at most `times` times.

    Kinds that every platform has:

    - html: status `code` with a page of a proxy in front
    - truncated: 200 and the first half of the JSON; shape: 200 and `body`; empty: 200 and nothing
    - close: the connection ends without a byte; reset: with RST; cut: in the middle of the answer's body
    - hang: no answer for `seconds`, then the connection ends
    - slow: the true answer, `seconds` later
    """

    kind: str
    method: str = "*"
    """A method, "chat.*" for a family, or "*" for all."""
    times: int | None = None
    every: int = 1
    skip: int = 0
    contains: str = ""
    """Only calls whose arguments have these words."""
    apply: bool = False
    """The call has its effect first: the caller cannot know."""
    code: int = 500
    seconds: float = 3600.0
    body: Any = field(default_factory=dict)
    seen: int = 0
    fired: int = 0

    def meant(self, call: Any) -> bool:
        """Whether the fault is about such a call; a platform narrows it by what its calls have."""
        family = self.method.endswith("*") and call.method.startswith(self.method[:-1])
        return (family or self.method == call.method) and self.contains in str(call.params)

    def hits(self, call: Any) -> bool:
        """Counts the call if it matches, and says whether the fault strikes now."""
        if not self.meant(call):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True


F = TypeVar("F", bound=Planned)


class Program(Generic[F]):
    """The faults that are ordered: the first that hits wins."""

    def __init__(self) -> None:
        self.program: list[F] = []

    def add(self, fault: F) -> F:
        self.program.append(fault)
        return fault

    def clear(self) -> None:
        self.program.clear()

    def pick(self, call: Any) -> F | None:
        return next((fault for fault in self.program if fault.hits(call)), None)


async def go_wrong(
    request: web.Request, call: Answered, fault: Planned, body: bytes, pause: Callable[[float], Awaitable[None]]
) -> web.StreamResponse:
    """What the caller gets of a fault of a shared kind; `body` is the true answer, or what stands for it."""
    match fault.kind:
        case "html":
            call.status = fault.code
            return web.Response(status=fault.code, text=PAGE.format(code=fault.code), content_type="text/html")
        case "truncated":
            return _sent(call, body[: max(1, len(body) // 2)])
        case "shape":
            return _sent(call, json.dumps(fault.body).encode())
        case "empty":
            return _sent(call, b"")
        case "hang":
            await pause(fault.seconds)
        case "cut":
            return await _cut(request, body)
    return _broken(request, reset=fault.kind == "reset")


def _sent(call: Answered, body: bytes) -> web.Response:
    call.status = 200
    return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _broken(request: web.Request, *, reset: bool) -> web.Response:
    """Ends the connection without an answer; what is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        if reset:
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
