"""Receiving over HTTP: what Slack posts is stored and then acknowledged, what anybody else posts is refused unread."""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.slack.http import Doorway
from adapters.slack.settings import EVENTS_PATH
from adapters.slack.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, verified
from bot.clock import SystemClock
from bot.messages import MessageKind
from tests.adapters.slack.house import (
    SECRET,
    STAMP,
    House,
    Json,
    MemoryIntake,
    NobodyAnswers,
    call,
    command,
    edited,
    mentioned,
    pressed,
    said,
)
from tests.fakes.slack_api import FakeSlack

Client = TestClient[web.Request, web.Application]
FORM = "application/x-www-form-urlencoded"
OFFICIAL_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
OFFICIAL = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


# -- Signatures --


def test_the_documented_example() -> None:
    assert signature(SECRET.encode(), "1531420618", OFFICIAL_BODY) == OFFICIAL
    assert verified(SECRET.encode(), ["1531420618"], [OFFICIAL], OFFICIAL_BODY, now=1531420618.0)


@pytest.mark.parametrize(
    ("age", "right"), [(0, True), (300, True), (-300, True), (301, False), (-301, False), (86400, False)]
)
def test_five_minutes_either_way(age: int, right: bool) -> None:
    shown = [OFFICIAL]
    assert verified(SECRET.encode(), ["1531420618"], shown, OFFICIAL_BODY, now=1531420618.0 + age) is right


@pytest.mark.parametrize(
    ("timestamps", "signatures"),
    [
        ([], [OFFICIAL]),
        (["1531420618"], []),
        (["1531420618"] * 2, [OFFICIAL]),
        (["1531420618"], [OFFICIAL] * 2),
        (["abc"], [OFFICIAL]),
        (["1531420618.0"], [OFFICIAL]),
        (["-1531420618"], [OFFICIAL]),
        (["١٥٣١٤٢٠٦١٨"], [OFFICIAL]),
        (["1531420618 "], [OFFICIAL]),
        (["1" * 5000], [OFFICIAL]),
        (["1531420618"], ["v0=" + "ü" * 64]),
        (["1531420618"], [OFFICIAL.upper()]),
        (["1531420618"], ["v1=" + OFFICIAL[3:]]),
        (["1531420618"], [OFFICIAL[:-1]]),
        (["1531420618"], [OFFICIAL + "\n"]),
        (["1531420618"], ["\ud800"]),
        (["1531420618"], [""]),
    ],
)
def test_odd_headers_are_refused_and_raise_nothing(timestamps: list[str], signatures: list[str]) -> None:
    assert not verified(SECRET.encode(), timestamps, signatures, OFFICIAL_BODY, now=1531420618.0)


def test_without_a_secret_nothing_is_verified() -> None:
    assert not verified(b"", ["1"], [signature(b"", "1", b"x")], b"x", now=1.0)


# -- The door --


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
def house(intake: MemoryIntake) -> House:
    return House(intake=intake, api=NobodyAnswers())


@pytest.fixture
async def client(house: House, intake: MemoryIntake) -> AsyncIterator[Client]:
    door = Doorway(dispatcher=house.dispatcher, secret=SECRET, max_body_bytes=100_000, clock=SystemClock())
    app = web.Application()
    app.add_routes(door.routes(intake))
    async with TestClient(TestServer(app)) as made:
        yield made


def signed(body: bytes, *, form: bool = False, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    kind = FORM if form else "application/json"
    return {
        "Content-Type": kind,
        TIMESTAMP_HEADER: stamp,
        SIGNATURE_HEADER: signature(secret.encode(), stamp, body),
    }


async def posted(client: Client, payload: Json | bytes, *, form: bool = False) -> tuple[int, Any]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    async with client.post(EVENTS_PATH, data=body, headers=signed(body, form=form)) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


def clicked(payload: Json) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


async def test_a_message_is_stored_before_it_is_acknowledged(client: Client, intake: MemoryIntake) -> None:
    assert await posted(client, call(said("密码忘了怎么办", channel="D1"))) == (200, None)
    assert intake.texts == ["密码忘了怎么办"]


async def test_twins_and_retries_are_one_message(client: Client, intake: MemoryIntake) -> None:
    for _ in range(4):
        assert (await posted(client, call(mentioned("hi"), event_id="Ev1")))[0] == 200
        assert (await posted(client, call(said(mentioned("hi")["text"]), event_id="Ev2")))[0] == 200
    assert (intake.texts, intake.duplicates) == (["hi"], 7)


async def test_while_the_database_is_locked_slack_is_asked_to_come_again(client: Client, intake: MemoryIntake) -> None:
    intake.failures = 2
    assert [(await posted(client, call(said(channel="D1"))))[0] for _ in range(3)] == [503, 503, 200]
    assert len(intake.messages) == 1


async def test_a_defect_is_not_acknowledged(client: Client, intake: MemoryIntake) -> None:
    intake.defects = 1
    assert [(await posted(client, call(said(channel="D1"))))[0] for _ in range(2)] == [500, 200]


@pytest.mark.parametrize(
    "payload",
    [
        call({"type": "reaction_added", "user": "U5", "item": {}}),
        call({"type": "a_kind_of_2031"}),
        call(said("not for us")),
        call(said(channel="D1", bot_id="B1")),
        call(said(channel="D1", ts="x")),
        {"type": "app_rate_limited", "team_id": "T1"},
        {"type": "event_callback"},
        {"event": 7, "team": 5, "user": []},
        {},
    ],
)
async def test_what_needs_no_answer_is_acknowledged(client: Client, intake: MemoryIntake, payload: Json) -> None:
    assert (await posted(client, payload))[0] == 200
    assert intake.attempts == 0


async def test_slack_verifies_the_address(client: Client) -> None:
    assert await posted(client, {"type": "url_verification", "challenge": "3eZb"}) == (200, {"challenge": "3eZb"})
    assert (await posted(client, {"type": "url_verification", "challenge": {}}))[0] == 400
    assert (await posted(client, b"ssl_check=1&token=x", form=True))[0] == 200


async def test_replies_count_where_we_take_part(client: Client, intake: MemoryIntake) -> None:
    reply = said("and then?", ts="1790000009.000000", thread_ts=STAMP)
    await posted(client, call(reply, event_id="Ev1"))
    await posted(client, call(edited("new words"), event_id="Ev2"))
    assert intake.messages == []
    await posted(client, call(mentioned("first"), event_id="Ev3"))
    await posted(client, call(reply, event_id="Ev4"))
    await posted(client, call(edited("new words"), event_id="Ev5"))
    assert [(one.kind, one.text) for one in intake.messages] == [
        (MessageKind.TEXT, "first"),
        (MessageKind.TEXT, "and then?"),
        (MessageKind.EDIT, "new words"),
    ]


async def test_stop_is_passed_on(client: Client, house: House) -> None:
    event = {"type": "agent_session_stopped", "channel": "D1", "thread_ts": STAMP, "user": "U5", "event_ts": STAMP}
    assert (await posted(client, call(event)))[0] == 200
    assert house.stopped == [("", "D1", STAMP)]


async def test_the_end_of_an_installation_is_passed_on(client: Client, house: House) -> None:
    assert (await posted(client, call({"type": "app_uninstalled"}, authorizations=None)))[0] == 200
    assert [(reason, int(at.timestamp())) for _, reason, at in house.gone] == [("app_uninstalled", 1_790_000_000)]


async def test_buttons_come_as_forms(client: Client, intake: MemoryIntake) -> None:
    assert await posted(client, clicked(pressed("kefu_act:person", "t")), form=True) == (200, None)
    assert [(one.kind, one.command) for one in intake.messages] == [(MessageKind.ACTION, "person")]
    assert (await posted(client, clicked(pressed("somebody_elses")), form=True))[0] == 200


async def test_a_command_is_kept_even_where_nothing_can_be_posted(client: Client, intake: MemoryIntake) -> None:
    body = urlencode(command("年假 &amp; 病假")).encode()
    assert await posted(client, body, form=True) == (200, None)
    [found] = intake.messages
    assert (found.text, found.conversation.channel, found.conversation.thread) == ("年假 & 病假", "C1", "")
    assert found.keys == ("cmd:9.8.cmd",)


async def test_a_bare_command_is_told_how(client: Client, intake: MemoryIntake) -> None:
    status, answer = await posted(client, urlencode(command("")).encode(), form=True)
    assert (status, answer["response_type"]) == (200, "ephemeral")
    assert "/ask" in answer["text"]
    assert intake.messages == []


async def test_a_stranger_is_not_answered(client: Client, intake: MemoryIntake) -> None:
    event = mentioned("what do you pay?", user_team="T9", source_team="T9", team="T9")
    assert (await posted(client, call(event, is_ext_shared_channel=True)))[0] == 200
    button = pressed("kefu_act:person", "t", user={"id": "U9", "team_id": "T9"})
    assert (await posted(client, clicked(button), form=True))[0] == 200
    assert intake.messages == []


# -- Anybody else --


@pytest.mark.parametrize(
    ("body", "form", "status"),
    [
        (b"", False, 400),
        (b"\xff\xfe\x00", False, 400),
        (b"[1, 2]", False, 400),
        (b"[" * 50_000, False, 400),
        (b"payload=%7B", True, 400),
        (b"payload=1&payload=2", True, 400),
        (b"\xff=\xff&x=%ff", True, 400),
        (b"&".join(b"a%d=1" % number for number in range(200)), True, 400),
        (b'{"text": "' + b"x" * 100_000 + b'"}', False, 413),
    ],
)
async def test_what_can_not_be_read_is_refused(client: Client, body: bytes, form: bool, status: int) -> None:
    assert (await posted(client, body, form=form))[0] == status


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(client: Client) -> None:
    body = gzip.compress(b"x" * 10_000_000)
    headers = signed(body) | {"Content-Encoding": "gzip"}
    async with client.post(EVENTS_PATH, data=body, headers=headers) as answer:
        assert answer.status == 413


def _forged(chance: random.Random) -> tuple[bytes, list[tuple[str, str]]]:
    """A true call with something wrong about it."""
    body = json.dumps(call(said("forged", channel="D1"), event_id=f"Ev{chance.random()}")).encode()
    headers = signed(body)
    match chance.randrange(9):
        case 0:  # another body
            place = chance.randrange(len(body))
            body = body[:place] + bytes([body[place] ^ (1 << chance.randrange(8))]) + body[place + 1 :]
        case 1:  # another signature
            place = chance.randrange(3, 67)
            shown = headers[SIGNATURE_HEADER]
            other = chance.choice("0123456789abcdefgXYZ~é".replace(shown[place], ""))
            headers[SIGNATURE_HEADER] = shown[:place] + other + shown[place + 1 :]
        case 2:  # too old, or from the future
            headers = signed(body, at=time.time() + chance.choice((-1, 1)) * chance.uniform(303, 10**6))
        case 3:  # another secret
            headers = signed(body, secret="".join(chance.choices("abcdef0123456789", k=32)))
        case 4:  # a moved time
            headers[TIMESTAMP_HEADER] = str(int(headers[TIMESTAMP_HEADER]) + chance.choice((-7, -1, 1, 7)))
        case 5:  # no header, or nothing in it
            del headers[chance.choice((TIMESTAMP_HEADER, SIGNATURE_HEADER))]
        case 6:  # the header twice
            name = chance.choice((TIMESTAMP_HEADER, SIGNATURE_HEADER))
            return body, [*headers.items(), (name, headers[name])]
        case 7:  # nonsense
            name = chance.choice((TIMESTAMP_HEADER, SIGNATURE_HEADER))
            headers[name] = chance.choice(("abc", "v0=", "v0=" + "é" * 64, "9" * 400, "1e9", "٣", "NaN", "v1=x"))
        case 8:  # cut, or more
            body = body[: chance.randrange(len(body))] if chance.random() < 0.5 else body + b" "
    return body, list(headers.items())


async def test_forged_and_stale_calls_are_refused_and_leave_nothing(client: Client, intake: MemoryIntake) -> None:
    """TEST_FORGERIES=10000 for the long form."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(int(os.environ.get("TEST_FORGERIES", "400"))):
        body, headers = _forged(chance)
        async with client.post(EVENTS_PATH, data=body, headers=headers) as answer:
            assert 400 <= answer.status < 500, (answer.status, headers)
    assert intake.attempts == 0


# -- With the strict fake --


async def test_slacks_own_calls_are_taken_and_repeated_until_they_are(
    client: Client, intake: MemoryIntake, house: House
) -> None:
    async with FakeSlack() as slack:
        slack.feed.transport, slack.feed.request_url = "http", str(client.make_url(EVENTS_PATH))
        slack.feed.signing_secret = SECRET
        slack.feed.schedule = (0.05, 0.1, 0.2)
        assert await slack.feed.verify(slack.feed.request_url)
        intake.failures = 2
        told = slack.people.says("D5", "kept", user="U5")
        await slack.until(lambda: not slack.feed.unacknowledged())
        assert intake.texts == ["kept"]
        assert all(await slack.feed.again(told["event_ids"][0], 3))
        slack.people.mentions("C1", "twins", user="U5")
        slack.people.bot_says("C1", f"<@{slack.bot_user}> loop?")
        reply = slack.people.says("C1", "a link https://x.example", user="U5")
        slack.people.unfurls("C1", reply["ts"])
        slack.people.deletes("C1", reply["ts"])
        slack.people.joins("C1", "U8")
        slack.people.reacts("C1", reply["ts"], "eyes")
        await slack.until(lambda: not slack.feed.unacknowledged())
        assert intake.texts == ["kept", "twins"]
        slack.feed.skew = -400
        slack.people.says("D5", "stale", user="U5")
        await slack.until(lambda: slack.feed.unacknowledged()[0].fate == "gave_up")
        assert intake.texts == ["kept", "twins"]
