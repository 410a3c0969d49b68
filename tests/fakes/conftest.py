"""Fake platforms for the tests of the fakes themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.slack_api import FakeSlack
from tests.fakes.slackapi.asking import Asking
from tests.fakes.wecom_api import FakeWeCom
from tests.fakes.wecomapi.asking import Asking as WeComAsking


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        yield fake


@pytest.fixture
async def ask(slack: FakeSlack) -> AsyncIterator[Asking]:
    async with aiohttp.ClientSession() as session:
        yield Asking(slack.api_url, slack.bot_token, session)


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom() as fake:
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def app(wecom: FakeWeCom, http: aiohttp.ClientSession) -> WeComAsking:
    """A bot that calls with the secret of the self-built app."""
    return WeComAsking(wecom.api_url, wecom.corp_id, wecom.app_secret, http)


@pytest.fixture
def kf(wecom: FakeWeCom, http: aiohttp.ClientSession) -> WeComAsking:
    """A bot that calls with the secret for 微信客服."""
    return WeComAsking(wecom.api_url, wecom.corp_id, wecom.kf_secret, http)
