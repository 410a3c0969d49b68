import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from tests.server.house import AUTH, TOKEN, open_house, ticket

ONE = "/api/v1/tickets/TICKET-7K2M9Q4D"


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="none"),
        pytest.param("Bearer", id="empty"),
        pytest.param(f"Bearer {TOKEN}x", id="longer"),
        pytest.param(f"Bearer {TOKEN[:-1]}", id="shorter"),
        pytest.param(f"Basic {TOKEN}", id="other scheme"),
        pytest.param("Bearer \u00e9\u00e8", id="not ASCII"),
        pytest.param(TOKEN, id="without scheme"),
    ],
)
@pytest.mark.parametrize("method, path", [("GET", "/api/v1/tickets"), ("PATCH", ONE), ("POST", ONE + "/replies")])
async def test_strangers_are_refused(method: str, path: str, authorization: str | None) -> None:
    async with open_house(ticket()) as house:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = await house.client.request(method, path, headers=headers, data=b"{")
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "unauthorized"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert not house.desk.replies


async def test_a_stranger_is_refused_before_the_body_has_arrived() -> None:
    async with open_house() as house:

        async def endless() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(30)

        response = await house.client.post(ONE + "/replies", data=endless())
        assert response.status == 401


async def test_tickets_are_listed_by_page_state_and_requester() -> None:
    tickets = [ticket(f"TICKET-{letter}") for letter in "ABCDE"]
    other = ticket("TICKET-F", requester="web:9")
    async with open_house(*tickets, other) as house:

        async def numbers(**query: str) -> tuple[list[str], str | None]:
            response = await house.client.get("/api/v1/tickets", params=query, headers=AUTH)
            assert response.status == 200
            body = await response.json()
            return [one["number"] for one in body["tickets"]], body["next"]

        assert await numbers(limit="4") == (["TICKET-F", "TICKET-E", "TICKET-D", "TICKET-C"], "TICKET-C")
        assert await numbers(limit="4", before="TICKET-C") == (["TICKET-B", "TICKET-A"], None)
        assert await numbers(requester="web:9") == (["TICKET-F"], None)
        assert await numbers(state="closed") == ([], None)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=999", "limit=x", "limit=%D9%A1", "state=lost", "before='", "requester=x", "colour=red",
     "requester=telegram:%00", "requester=telegram:%ff"],
)  # fmt: skip
async def test_odd_parameters_are_named_not_obeyed(query: str) -> None:
    async with open_house() as house:
        response = await house.client.get(f"/api/v1/tickets?{query}", headers=AUTH)
        # An undecodable byte arrives as a replacement character, which a requester may well contain.
        assert response.status == (200 if "%ff" in query else 400)


async def test_a_ticket_shows_its_dialogue_and_its_record() -> None:
    async with open_house(ticket()) as house:
        body = await (await house.client.get(ONE.replace("TICKET", "ticket"), headers=AUTH)).json()
        assert body["number"] == "TICKET-7K2M9Q4D"
        assert body["transcript"] == ["小王: 我的退款呢？"]
        assert body["due_at"] == "2026-11-21T12:00:00.000Z"
        assert body["conversation"]["platform"] == "telegram"
        assert [event["kind"] for event in body["events"]] == ["opened"]


@pytest.mark.parametrize("number", ["TICKET-NONE", "x", "%00", "..%2F..%2Fetc", "TICKET-" + "A" * 999])
async def test_an_unknown_number_is_not_found(number: str) -> None:
    async with open_house(ticket()) as house:
        response = await house.client.get(f"/api/v1/tickets/{number}", headers=AUTH)
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "not_found"


async def test_an_agents_reply_goes_out_under_their_name() -> None:
    async with open_house(ticket()) as house:
        response = await house.client.post(
            ONE + "/replies", json={"text": " 已为您加急处理。 ", "agent": "李雷"}, headers=AUTH
        )
        assert response.status == 201
        assert await response.json() == {"ticket": "TICKET-7K2M9Q4D", "delivery": 7}
        assert house.desk.replies == [("TICKET-7K2M9Q4D", "已为您加急处理。", "李雷")]


async def test_a_ticket_is_changed_and_the_change_has_an_author() -> None:
    async with open_house(ticket()) as house:
        change = {"state": "assigned", "assignee": "韩梅梅", "urgency": "high", "subject": "退款", "by": "李雷"}
        body = await (await house.client.patch(ONE, json=change, headers=AUTH)).json()
        assert {name: body[name] for name in ("state", "assignee", "urgency", "subject")} == {
            "state": "assigned",
            "assignee": "韩梅梅",
            "urgency": "high",
            "subject": "退款",
        }
        assert house.desk.changed_by == ["李雷"]


BAD_BODIES = {
    "nothing": b"",
    "cut": b'{"text": "a',
    "no object": b"[]",
    "number": b'{"text": 5}',
    "unknown field": b'{"text": "a", "number": "TICKET-X"}',
    "only spaces": b'{"text": "   "}',
    "lone surrogate": b'{"text": "\\ud800"}',
    "NUL": b'{"text": "a\\u0000b"}',
    "not UTF-8": b'{"text": "\xff"}',
    "NaN": b'{"text": NaN}',
    "deep": b"[" * 3000,
    "huge number": b'{"text": ' + b"9" * 4000 + b"}",
    "line break in a name": b'{"text": "a", "agent": "a\\nb"}',
    "null": b'{"text": null}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bad_input_is_a_400_and_says_nothing_of_the_input(body: bytes) -> None:
    async with open_house(ticket()) as house:
        response = await house.client.post(ONE + "/replies", data=body, headers=AUTH)
        assert response.status == 400, await response.text()
        assert set((await response.json())["error"]) == {"code", "message"}
        assert "TICKET-X" not in await response.text()
        assert not house.desk.replies


@pytest.mark.parametrize(
    "change",
    [{}, {"state": "lost"}, {"state": None}, {"urgency": "panic"}, {"subject": ""}, {"requester": "telegram:9"},
     {"assignee": "x" * 201}, {"assignee": 5}],
)  # fmt: skip
async def test_a_change_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    async with open_house(ticket()) as house:
        assert (await house.client.patch(ONE, json=change, headers=AUTH)).status == 400
        assert house.desk.tickets["TICKET-7K2M9Q4D"] == ticket()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip bomb"])
async def test_a_body_over_the_limit_is_a_413(packed: bool) -> None:
    async with open_house(ticket()) as house:
        big = b'{"text": "' + b"a" * 1_000_000 + b'"}'
        headers = {**AUTH, "Content-Encoding": "gzip"} if packed else AUTH
        response = await house.client.post(
            ONE + "/replies", data=gzip.compress(big) if packed else big, headers=headers
        )
        assert response.status == 413
        assert set((await response.json())["error"]) == {"code", "message"}


async def test_a_body_that_lies_about_its_packing_is_a_400() -> None:
    async with open_house(ticket()) as house:
        headers = {**AUTH, "Content-Encoding": "gzip"}
        response = await house.client.post(ONE + "/replies", data=b'{"text": "a"}', headers=headers)
        assert response.status == 400
