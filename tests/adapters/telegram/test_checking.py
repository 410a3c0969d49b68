"""What `kefu doctor` finds out about Telegram."""

from __future__ import annotations

import pytest

from adapters.telegram.checking import check
from adapters.telegram.settings import ChannelSettings
from bot.errors import CredentialsRefused, KefuError
from tests.adapters.telegram.doubles import TOKEN
from tests.fakes.telegram_api import FakeTelegram, Fault


def settings(api_url: str, token: str = TOKEN) -> ChannelSettings:
    return ChannelSettings.model_validate({"token": token, "api_url": api_url})


async def test_a_good_token_is_told_by_the_bots_name(fake: FakeTelegram) -> None:
    assert await check(settings(fake.url)) == "@kefu_test_bot, polling"


async def test_a_bad_token_is_told_without_it(fake: FakeTelegram) -> None:
    token = "123456789:AAnobodysToken_0123456789"
    with pytest.raises(CredentialsRefused) as refused:
        await check(settings(fake.url, token))
    assert token.partition(":")[2] not in str(refused.value)


@pytest.mark.parametrize("kind", ["html", "truncated", "close", "error"])
async def test_trouble_is_told_as_trouble_and_not_as_a_bad_token(fake: FakeTelegram, kind: str) -> None:
    fake.faults.add(Fault(kind=kind, method="getMe"))  # type: ignore[arg-type]
    with pytest.raises(KefuError) as failed:
        await check(settings(fake.url))
    assert not isinstance(failed.value, CredentialsRefused)


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(KefuError, match="can not be reached"):
        await check(settings("http://127.0.0.1:9"))
