"""Calls over real HTTP: every failure is one of three, and none of them tells."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator

import pytest

from adapters.slack.timing import Timing
from adapters.slack.wire import NoAnswer, NotReached, Refused, SlackError, Transport
from tests.fakes.slack_api import FakeSlack, Fault

SECRET_WORDS = "my password is hunter2"


@pytest.fixture
async def fake() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as made:
        made.people.says("D5", "hi", user="U5")
        yield made


@pytest.fixture
async def transport(fake: FakeSlack) -> AsyncIterator[Transport]:
    made = Transport(url=fake.api_url, timing=Timing(answer=0.5))
    yield made
    await made.close()


async def failed(transport: Transport, fake: FakeSlack, token: str = "") -> SlackError:
    with pytest.raises(SlackError) as caught:
        await transport.call(token or fake.bot_token, "chat.postMessage", {"channel": "D5", "text": SECRET_WORDS})
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET_WORDS not in told and fake.bot_token not in told
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault(kind="error", error="channel_not_found"), Refused, id="a refusal"),
        pytest.param(Fault(kind="ratelimited", retry_after=7), Refused, id="patience"),
        pytest.param(Fault(kind="error", error="fatal_error"), NoAnswer, id="a failure inside Slack"),
        pytest.param(Fault(kind="html", code=502), NoAnswer, id="a proxy's page, 502"),
        pytest.param(Fault(kind="html", code=200), NoAnswer, id="a proxy's page, 200"),
        pytest.param(Fault(kind="html", code=407), Refused, id="a proxy that asks who we are"),
        pytest.param(Fault(kind="truncated"), NoAnswer, id="half an answer"),
        pytest.param(Fault(kind="shape", body=[1, 2]), NoAnswer, id="a list"),
        pytest.param(Fault(kind="shape", body="ok"), NoAnswer, id="a string"),
        pytest.param(Fault(kind="shape", body={"ok": False}), NoAnswer, id="no code"),
        pytest.param(Fault(kind="shape", body={"ok": False, "error": {"a": 1}}), NoAnswer, id="a code that is none"),
        pytest.param(Fault(kind="shape", body=None), NoAnswer, id="null"),
        pytest.param(Fault(kind="empty"), NoAnswer, id="nothing"),
        pytest.param(Fault(kind="close"), NoAnswer, id="closed"),
        pytest.param(Fault(kind="reset"), NoAnswer, id="reset"),
        pytest.param(Fault(kind="cut"), NoAnswer, id="cut off"),
        pytest.param(Fault(kind="hang", seconds=2), NoAnswer, id="silence"),
    ],
)
async def test_every_failure_is_one_of_three(
    fake: FakeSlack, transport: Transport, fault: Fault, expected: type[SlackError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.faults.add(fault)
    error = await failed(transport, fake)
    assert type(error) is expected
    assert SECRET_WORDS not in caplog.text and fake.bot_token not in caplog.text
    if isinstance(error, Refused) and fault.kind == "ratelimited":
        assert error.retry_after == 7.0 and error.status == 429


async def test_a_refusal_has_slacks_code(fake: FakeSlack, transport: Transport) -> None:
    error = await failed(transport, fake, "xoxb-wrong")
    assert isinstance(error, Refused) and error.error == "invalid_auth" and error.method == "chat.postMessage"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api/", "http://nobody.invalid/api/"])
async def test_an_address_where_nobody_is(url: str) -> None:
    transport = Transport(url=url, timing=Timing(answer=2.0))
    with pytest.raises(NotReached):
        await transport.call("xoxb", "auth.test", {})
    await transport.close()


async def test_a_429_is_not_repeated_behind_our_back(fake: FakeSlack, transport: Transport) -> None:
    fake.faults.add(Fault(kind="ratelimited", retry_after=1))
    await failed(transport, fake)
    assert len(fake.calls("chat.postMessage")) == 1


async def test_reading_goes_by_the_query(fake: FakeSlack, transport: Transport) -> None:
    said = fake.people.says("D5", "hello", user="U5")
    answer = await transport.call(
        fake.bot_token,
        "conversations.replies",
        {"channel": "D5", "ts": said["thread"], "include_all_metadata": True, "cursor": None},
    )
    assert [message["text"] for message in answer["messages"]] == ["hello"]
