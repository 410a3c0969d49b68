"""A fake Slack for the tests of the fake itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.slack_api import FakeSlack
from tests.fakes.slackapi.asking import Asking


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        yield fake


@pytest.fixture
async def ask(slack: FakeSlack) -> AsyncIterator[Asking]:
    async with aiohttp.ClientSession() as session:
        yield Asking(slack.api_url, slack.bot_token, session)
