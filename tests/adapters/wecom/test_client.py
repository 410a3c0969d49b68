"""Calls with a token: one token for however many calls, one more when it ends, and no storm when WeCom says no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.wecom.client import Client, make_client
from adapters.wecom.failures import as_send_error, operator_line
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Timing
from adapters.wecom.wire import NoAnswer, NotReached, Refused, WeComError
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, Undeliverable
from tests.adapters.telegram.doubles import SystemClock
from tests.adapters.wecom.samples import QUICK
from tests.fakes.wecom_api import AGENT_ID, APP_SECRET, CORP_ID, FakeWeCom, Fault

Make = Callable[..., tuple[Client, Standing]]
TEXT = {"touser": "lisi", "msgtype": "text", "agentid": AGENT_ID, "text": {"content": "好"}}


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom() as fake:
        fake.colleagues.knows("lisi")
        yield fake
        assert fake.violations == []


@pytest.fixture
async def make(wecom: FakeWeCom) -> AsyncIterator[Make]:
    made: list[Client] = []

    def make_one(timing: Timing = QUICK, **changes: Any) -> tuple[Client, Standing]:
        values = {"url": wecom.api_url, "corp_id": CORP_ID, "secret": APP_SECRET, "section": "wecom_app", **changes}
        client, standing = make_client(**values, clock=SystemClock(), timing=timing)
        made.append(client)
        return client, standing

    yield make_one
    for client in made:
        await client.close()


async def failure(call: Any) -> WeComError:
    with pytest.raises(WeComError) as error:
        await call
    return error.value


# -- Tokens --


async def test_twenty_calls_at_once_fetch_one_token(wecom: FakeWeCom, make: Make) -> None:
    client, standing = make()
    answers = await asyncio.gather(*(client.post("message/send", TEXT) for _ in range(20)))
    assert len({answer["msgid"] for answer in answers}) == 20
    assert wecom.tokens.count("app") == 1
    assert wecom.server.most_at_once <= 16
    assert standing.health().up


@pytest.mark.parametrize("errcode", [42001, 40014])
async def test_twenty_sends_that_meet_an_ended_token_fetch_one_more(wecom: FakeWeCom, make: Make, errcode: int) -> None:
    client, _ = make()
    await client.post("message/send", TEXT)
    wecom.tokens.revoke("app", errcode)
    await asyncio.gather(*(client.post("message/send", TEXT) for _ in range(20)))
    assert wecom.tokens.count("app") == 2
    assert len(wecom.messages("app", "lisi")) == 21


async def test_a_token_is_replaced_before_it_ends(wecom: FakeWeCom, make: Make) -> None:
    wecom.tokens.life = 1.0
    client, _ = make(Timing(token_early=0.8))
    await client.get("agent/get", agentid=str(AGENT_ID))
    await asyncio.sleep(0.55)
    wecom.clock.advance(1.0)
    await client.get("agent/get", agentid=str(AGENT_ID))
    assert wecom.tokens.count("app") == 2
    assert [call.errcode for call in wecom.calls("agent/get")] == [0, 0]


async def test_the_old_token_serves_while_a_new_one_is_not_to_be_had(wecom: FakeWeCom, make: Make) -> None:
    wecom.tokens.life = 3.0
    client, _ = make(Timing(token_early=2.9))
    await client.get("agent/get", agentid=str(AGENT_ID))
    wecom.faults.add(Fault(kind="html", method="gettoken"))
    await asyncio.sleep(1.6)
    await client.get("agent/get", agentid=str(AGENT_ID))
    assert wecom.tokens.count("app") >= 1


async def test_tokens_that_are_refused_as_soon_as_they_are_given_are_no_storm(wecom: FakeWeCom, make: Make) -> None:
    client, _ = make()
    wecom.faults.add(Fault(kind="error", method="message/send", errcode=42001))
    for _ in range(30):
        refused = await failure(client.post("message/send", TEXT))
        assert isinstance(as_send_error(refused), NotSent)
    assert wecom.tokens.count("") + wecom.tokens.count("app") <= 10


async def test_a_refused_secret_is_said_once_and_asked_again_after_a_pause(wecom: FakeWeCom, make: Make) -> None:
    client, standing = make()
    wecom.tokens.ends("app", 40001)
    refusals = await asyncio.gather(*(failure(client.post("message/send", TEXT)) for _ in range(20)))
    assert wecom.tokens.count("app") == 1
    assert {refused.errcode for refused in refusals if isinstance(refused, Refused)} == {40001}
    held = as_send_error(refusals[0], section="wecom_app")
    assert isinstance(held, CredentialsRefused)
    assert "wecom_app.secret" in str(held)
    assert "wecom_app.secret" in standing.health().detail
    assert not standing.health().up
    wecom.tokens.works_again("app")
    await failure(client.post("message/send", TEXT))  # not yet
    await asyncio.sleep(0.35)
    await client.post("message/send", TEXT)
    assert standing.health().up
    assert wecom.tokens.count("app") == 2


@pytest.mark.parametrize(
    ("changes", "errcode", "named"),
    [
        pytest.param({"secret": "wrong-secret-wrong-secret"}, 40001, "wecom_app.secret", id="secret"),
        pytest.param({"corp_id": "ww-another"}, 40013, "wecom_app.corp_id", id="corp"),
    ],
)
async def test_what_is_wrong_is_named_without_a_secret(
    make: Make, changes: dict[str, str], errcode: int, named: str
) -> None:
    client, standing = make(**changes)
    refused = await failure(client.post("message/send", TEXT))
    assert isinstance(refused, Refused)
    assert refused.errcode == errcode
    assert named in standing.trouble
    for shown in (standing.trouble, str(refused), repr(refused), repr(client)):
        assert "wrong-secret" not in shown


# -- Refusals --


async def test_a_busy_wecom_is_asked_again_a_few_times(wecom: FakeWeCom, make: Make) -> None:
    client, _ = make()
    wecom.faults.add(Fault(kind="error", method="message/send", errcode=-1, times=3))
    await client.post("message/send", TEXT)
    assert len(wecom.calls("message/send")) == 4
    wecom.faults.add(Fault(kind="error", method="message/send", errcode=-1))
    assert isinstance(as_send_error(await failure(client.post("message/send", TEXT))), NotSent)
    assert len(wecom.calls("message/send")) == 8


async def test_an_untrusted_address_is_told_to_the_operator_and_not_asked_again_at_once(
    wecom: FakeWeCom, make: Make
) -> None:
    client, standing = make()
    wecom.server.trusted = False
    for _ in range(10):
        assert isinstance(as_send_error(await failure(client.post("message/send", TEXT))), CredentialsRefused)
    assert len(wecom.calls("message/send")) == 1
    assert standing.trouble == "add 203.0.113.9 to 企业可信IP of the app (60020, docs/wecom.md)"
    wecom.server.trusted = True
    await asyncio.sleep(0.35)
    await client.post("message/send", TEXT)
    assert standing.health().up


async def test_a_method_that_is_not_allowed_blocks_no_other(wecom: FakeWeCom, make: Make) -> None:
    client, standing = make()
    for _ in range(3):
        await failure(client.post("kf/send_msg", {}))
    await client.post("message/send", TEXT)
    assert len(wecom.calls("kf/send_msg")) == 1
    assert "cgi-bin/kf/send_msg" in standing.trouble


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [
        (45009, NotSent),
        (45033, NotSent),
        (40014, NotSent),
        (40001, CredentialsRefused),
        (60020, CredentialsRefused),
        (48002, CredentialsRefused),
        (93000, CredentialsRefused),
        (81013, DestinationGone),
        (93008, DestinationGone),
        (45002, Undeliverable),
        (40058, Undeliverable),
        (99999, Undeliverable),
    ],
)
def test_every_refusal_has_a_word_of_the_cores(errcode: int, kind: type[Exception]) -> None:
    refused = Refused("cgi-bin/message/send", errcode)
    assert type(as_send_error(refused)) is kind
    assert operator_line(refused, "wecom_app")


def test_patience_is_asked_for_in_minutes() -> None:
    patient = as_send_error(Refused("cgi-bin/message/send", 45009))
    assert isinstance(patient, NotSent)
    assert patient.retry_after is not None
    assert patient.retry_after >= 60


# -- Answers that are none --


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param({"kind": "html"}, PerhapsSent, id="500"),
        pytest.param({"kind": "html", "code": 403}, NotSent, id="403 of a proxy"),
        pytest.param({"kind": "html", "code": 302}, NotSent, id="a redirect"),
        pytest.param({"kind": "truncated"}, PerhapsSent, id="half an answer"),
        pytest.param({"kind": "empty"}, PerhapsSent, id="an empty answer"),
        pytest.param({"kind": "shape", "body": [1]}, PerhapsSent, id="a list"),
        pytest.param({"kind": "shape", "body": {}}, PerhapsSent, id="an object without an errcode"),
        pytest.param({"kind": "shape", "body": {"errcode": "0"}}, PerhapsSent, id="an errcode that is text"),
        pytest.param({"kind": "close"}, PerhapsSent, id="silence"),
        pytest.param({"kind": "reset"}, PerhapsSent, id="a reset"),
        pytest.param({"kind": "cut"}, PerhapsSent, id="a cut"),
        pytest.param({"kind": "hang"}, PerhapsSent, id="a hanging call"),
    ],
)
async def test_whatever_comes_back_is_sorted(
    wecom: FakeWeCom, make: Make, fault: dict[str, Any], kind: type[Exception]
) -> None:
    client, standing = make()
    wecom.faults.add(Fault(method="message/send", **fault))
    failed = await failure(client.post("message/send", TEXT))
    assert type(as_send_error(failed)) is kind
    assert "access_token" not in str(failed)
    assert failed.__context__ is None or "access_token" not in repr(failed.__context__)
    assert len(wecom.calls("message/send")) == 1
    assert not standing.health().up
    wecom.faults.clear()
    await client.post("message/send", TEXT)
    assert standing.health().up


async def test_where_there_is_no_token_nothing_was_sent(wecom: FakeWeCom, make: Make) -> None:
    client, _ = make()
    wecom.faults.add(Fault(kind="hang", method="gettoken"))
    assert isinstance(await failure(client.post("message/send", TEXT)), NotReached)
    assert wecom.calls("message/send") == []


async def test_nobody_there_is_not_reached(make: Make) -> None:
    client, standing = make(url="http://127.0.0.1:9")
    assert isinstance(await failure(client.post("message/send", TEXT)), NotReached)
    assert "can not be reached" in standing.trouble


async def test_a_call_that_waits_too_long_for_its_place_was_not_made(wecom: FakeWeCom, make: Make) -> None:
    client, _ = make(Timing(call=0.4, answer=5.0))
    wecom.faults.add(Fault(kind="hang", method="message/send"))
    failures = await asyncio.gather(*(failure(client.post("message/send", TEXT)) for _ in range(20)))
    kinds = [type(failed) for failed in failures]
    assert kinds.count(NoAnswer) == 16
    assert kinds.count(NotReached) == 4


async def test_a_cancelled_call_ends_at_once_and_gives_its_place_back(wecom: FakeWeCom, make: Make) -> None:
    client, _ = make()
    wecom.faults.add(Fault(kind="hang", method="message/send", times=16))
    calls = [asyncio.create_task(client.post("message/send", TEXT)) for _ in range(16)]
    await wecom.until(lambda: len(wecom.calls("message/send")) == 16)
    for call in calls:
        call.cancel()
    assert all(
        isinstance(ended, asyncio.CancelledError) for ended in await asyncio.gather(*calls, return_exceptions=True)
    )
    await client.post("message/send", TEXT)
