"""The proxy spoils what it is told to, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.fakes.tcp_proxy import CLEAN, Behaviour, TcpProxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as made:
        yield made


class Line:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await asyncio.wait_for(self.reader.readline(), 2)


@pytest.fixture
async def lines(proxy: TcpProxy) -> AsyncIterator[list[Line]]:
    made: list[Line] = []
    yield made
    for line in made:
        line.writer.close()


async def connect(proxy: TcpProxy, lines: list[Line]) -> Line:
    line = Line(*await asyncio.open_connection("127.0.0.1", proxy.port))
    lines.append(line)
    return line


async def test_bytes_pass_both_ways(proxy: TcpProxy, lines: list[Line]) -> None:
    line = await connect(proxy, lines)
    assert await line.say(b"hello\n") == b"hello\n"
    assert (proxy.connections, proxy.spoiled, proxy.open) == (1, 0, 1)


async def test_latency(proxy: TcpProxy, lines: list[Line]) -> None:
    proxy.behave(Behaviour(latency=0.1))
    line = await connect(proxy, lines)
    started = time.monotonic()
    await line.say(b"hello\n")
    assert time.monotonic() - started >= 0.2


async def test_a_cut_comes_in_the_middle(proxy: TcpProxy, lines: list[Line]) -> None:
    proxy.behave(Behaviour(cut_after=3))
    line = await connect(proxy, lines)
    assert await line.say(b"hello\n") == b"hel"
    assert proxy.spoiled == 1


@pytest.mark.parametrize(
    "behaviour",
    [pytest.param(Behaviour(reset=True), id="at once"), pytest.param(Behaviour(reset=True, cut_after=0), id="later")],
)
async def test_a_reset_is_felt(proxy: TcpProxy, lines: list[Line], behaviour: Behaviour) -> None:
    proxy.behave(behaviour)
    line = await connect(proxy, lines)
    with pytest.raises(ConnectionResetError):
        await line.say(b"hello\n")


async def test_a_trickle_is_slow(proxy: TcpProxy, lines: list[Line]) -> None:
    proxy.behave(Behaviour(trickle=50))
    line = await connect(proxy, lines)
    started = time.monotonic()
    assert await line.say(b"hello world\n") == b"hello world\n"
    assert time.monotonic() - started >= 0.2


async def test_half_open_holds_everything_until_it_ends(proxy: TcpProxy, lines: list[Line]) -> None:
    line = await connect(proxy, lines)
    await line.say(b"one\n")
    proxy.behave(Behaviour(half_open=True))
    line.writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.reader.readline(), 0.2)
    proxy.behave(CLEAN)
    assert await asyncio.wait_for(line.reader.readline(), 2) == b"two\n"


async def test_refusing_and_dropping(proxy: TcpProxy, lines: list[Line]) -> None:
    line = await connect(proxy, lines)
    await line.say(b"one\n")
    assert proxy.drop_all() == 1
    assert await asyncio.wait_for(line.reader.read(), 2) == b""
    proxy.behave(Behaviour(refuse=True))
    line = await connect(proxy, lines)
    assert await asyncio.wait_for(line.reader.read(), 2) == b""
