"""What holds for every route: errors, headers, health, and what is written down."""

import asyncio

import pytest
import structlog
from aiohttp import ClientConnectionError, ClientPayloadError, web

from bot.errors import OperatorError, StoreUnavailable
from bot.server.listening import HttpServer
from bot.server.ports import PartHealth
from tests.server.house import AUTH, open_house, ticket


async def test_healthz_answers_while_everything_else_is_down() -> None:
    async with open_house() as house:
        house.parts.append(PartHealth(name="knowledge", up=False, needed=True))
        assert (await house.client.get("/healthz")).status == 200


async def test_readyz_names_each_part_and_counts_only_what_is_needed() -> None:
    async with open_house() as house:
        house.parts += [
            PartHealth(name="engine", up=False, needed=False, detail="loading"),
            PartHealth(name="telegram", up=False, needed=False, detail="no update for 40 s"),
        ]
        response = await house.client.get("/readyz")
        assert response.status == 200
        body = await response.json()
        assert body["ready"] is True
        assert body["parts"]["engine"] == {"state": "down", "needed": False, "detail": "loading"}

        house.parts.append(PartHealth(name="knowledge", up=False, needed=True, detail="index can not be read"))
        response = await house.client.get("/readyz")
        assert response.status == 503
        assert (await response.json())["ready"] is False


async def test_readyz_does_not_wait_for_a_part_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.server.health.READY_SECONDS", 0.05)
    async with open_house() as house:
        house.hangs = True
        response = await house.client.get("/readyz")
        assert response.status == 503
        assert (await response.json())["ready"] is False


async def test_metrics_are_in_the_prometheus_format() -> None:
    async with open_house() as house:
        response = await house.client.get("/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "kefu_turns_total 3.0" in await response.text()


async def test_feedback_is_kept() -> None:
    async with open_house() as house:
        body = {"turn": "t1", "rating": "down", "comment": "答非所问"}
        assert (await house.client.post("/api/v1/feedback", json=body)).status == 200
        assert house.book.kept == [("t1", "down", "答非所问", None)]


@pytest.mark.parametrize(
    "body, status",
    [
        ({"turn": "unknown", "rating": "up"}, 404),
        ({"turn": "t1", "rating": "great"}, 400),
        ({"rating": "up"}, 400),
        ({"turn": "t1", "rating": "up", "comment": "a" * 2001}, 400),
        ({"turn": ["t1"], "rating": "up"}, 400),
    ],
    ids=["unknown turn", "unknown rating", "no turn", "long comment", "wrong type"],
)
async def test_feedback_that_makes_no_sense_is_refused(body: dict[str, object], status: int) -> None:
    async with open_house() as house:
        assert (await house.client.post("/api/v1/feedback", json=body)).status == status
        assert house.book.kept == []


@pytest.mark.parametrize(
    "origin, allowed", [("https://shop.example.com", True), ("https://evil.example.com", False), ("null", False)]
)
async def test_only_named_sites_may_send_feedback_from_a_browser(origin: str, allowed: bool) -> None:
    async with open_house() as house:
        response = await house.client.options("/api/v1/feedback", headers={"Origin": origin})
        assert response.status == 204
        assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)


async def test_a_locked_database_asks_to_come_back() -> None:
    async with open_house(ticket()) as house:
        house.intake.locked = True
        house.desk.failure = StoreUnavailable("locked by another process")
        for method, path in [("POST", "/fake/webhook"), ("GET", "/api/v1/tickets")]:
            response = await house.client.request(method, path, headers=AUTH)
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert "locked" not in await response.text()


async def test_a_defect_shows_nothing_of_its_inside() -> None:
    async with open_house() as house:
        response = await house.client.get("/broken")
        assert response.status == 500
        assert (await response.json())["error"]["code"] == "internal"
        assert "Traceback" not in await response.text()


async def test_a_defect_in_a_stream_breaks_it_off() -> None:
    async with open_house() as house:
        with pytest.raises((ClientPayloadError, ClientConnectionError)):
            response = await house.client.get("/stream")
            await response.read()
        assert (await house.client.get("/healthz")).status == 200


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/nothing", 404), ("DELETE", "/api/v1/tickets", 405), ("GET", "/chat/..%2f", 404)]
)
async def test_errors_are_json_everywhere(method: str, path: str, status: int) -> None:
    async with open_house() as house:
        response = await house.client.request(method, path)
        assert response.status == status
        assert set((await response.json())["error"]) == {"code", "message"}


async def test_every_answer_has_the_security_headers() -> None:
    async with open_house() as house:
        for path in ("/healthz", "/nothing", "/chat", "/broken"):
            headers = (await house.client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Server"] == "kefu"
            policy = "default-src 'self'" if path == "/chat" else "default-src 'none'"
            assert headers["Content-Security-Policy"].startswith(policy)


async def test_the_bare_address_leads_to_the_chat() -> None:
    async with open_house() as house:
        response = await house.client.get("/", allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (302, "/chat")


async def test_the_access_log_has_no_words_of_a_stranger() -> None:
    async with open_house() as house:
        with structlog.testing.capture_logs() as lines:
            await house.client.post("/fake/webhook?token=13800138000", data=b"13900139000")
            await house.client.get("/13700137000?x=13700137000")
            await house.client.get("/api/v1/tickets/TICKET-SECRET", headers=AUTH)
        requests = [line for line in lines if line["event"] == "request"]
        assert [line["route"] for line in requests] == ["/fake/webhook", "unknown", "/api/v1/tickets/{number}"]
        assert [line["status"] for line in requests] == [200, 404, 404]
        assert "1380013" not in str(lines) and "137001" not in str(lines) and "SECRET" not in str(lines)


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v1/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/v1/feedback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20000 + b"\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["no HTTP", "version", "negative length", "two lengths", "chunk", "long path", "long header", "bytes", "TLS"],
)
async def test_broken_http_is_a_4xx(raw: bytes) -> None:
    async with open_house() as house:
        server = house.client.server
        assert server.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(raw)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        assert not answer or answer.split()[1].startswith(b"4"), answer[:200]
        assert b"Traceback" not in answer
        assert (await house.client.get("/healthz")).status == 200


async def test_a_taken_port_is_one_line_for_the_operator() -> None:
    async with HttpServer(web.Application(), "127.0.0.1", 0) as first:
        port = int(first.address.rpartition(":")[2])
        assert first.address == f"http://127.0.0.1:{port}"
        with pytest.raises(OperatorError, match=f"http.port: {port} on 127.0.0.1 is in use"):
            async with HttpServer(web.Application(), "127.0.0.1", port):
                pass


@pytest.mark.parametrize(
    "host, shown", [("0.0.0.0", "http://127.0.0.1:"), ("127.0.0.1", "http://127.0.0.1:")], ids=["everywhere", "here"]
)
async def test_the_printed_address_can_be_opened(host: str, shown: str) -> None:
    async with HttpServer(web.Application(), host, 0) as server:
        assert server.address.startswith(shown)
