"""`kefu doctor` on Slack: whether the credentials work and may do enough."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.slack.checking import check
from adapters.slack.scopes import BOT_SCOPES
from adapters.slack.settings import ChannelSettings
from bot.errors import CredentialsRefused, KefuError
from tests.adapters.slack.samples import WAYS
from tests.fakes.slack_api import FakeSlack, Fault


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as made:
        yield made


def one(slack: FakeSlack, **about: Any) -> ChannelSettings:
    values = {"bot_token": slack.bot_token, "app_token": slack.app_token, "api_url": slack.api_url}
    return ChannelSettings(**values | about)


def several(slack: FakeSlack, **about: Any) -> ChannelSettings:
    values = {
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
        "signing_secret": slack.signing_secret,
        "token_key": WAYS["workspaces"]["token_key"],
        "api_url": slack.api_url,
    }
    return ChannelSettings(**values | about)


async def test_it_says_who_we_are(slack: FakeSlack) -> None:
    assert (await check(one(slack))).endswith(", socket")
    assert slack.sockets.opened == 0


async def test_a_token_that_slack_does_not_know(slack: FakeSlack) -> None:
    with pytest.raises(CredentialsRefused, match=r"slack\.bot_token: invalid_auth"):
        await check(one(slack, bot_token="xoxb-another"))
    with pytest.raises(CredentialsRefused, match=r"slack\.app_token"):
        await check(one(slack, app_token="xapp-another"))


async def test_scopes_that_are_missing(slack: FakeSlack) -> None:
    slack.tokens.loses("chat:write")
    with pytest.raises(KefuError, match="lacks the scopes chat:write"):
        await check(one(slack))


async def test_scopes_that_would_help(slack: FakeSlack) -> None:
    slack.tokens.loses("users:read")
    assert "without" in await check(one(slack))
    assert "users:read" in BOT_SCOPES


async def test_several_workspaces(slack: FakeSlack) -> None:
    assert "slack.workspaces is empty" in await check(several(slack))
    assert "T0KEFU001" in await check(several(slack, workspaces=("T0KEFU001",)))
    with pytest.raises(CredentialsRefused, match="bad_client_secret"):
        await check(several(slack, client_secret="another-secret"))


@pytest.mark.parametrize("kind", ["html", "reset", "truncated", "empty", "close", "ratelimited"])
async def test_a_slack_that_can_not_be_asked(slack: FakeSlack, kind: Any) -> None:
    for settings in (one(slack), several(slack)):
        slack.faults.clear()
        slack.faults.add(Fault(kind=kind))
        with pytest.raises(KefuError) as refused:
            await check(settings)
        assert not isinstance(refused.value, CredentialsRefused)
        assert slack.bot_token not in str(refused.value)


async def test_nobody_there() -> None:
    with pytest.raises(KefuError, match="can not be reached"):
        await check(ChannelSettings(**WAYS["http"]))
