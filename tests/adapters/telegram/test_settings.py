"""What an operator can set, and what the one line says when it is wrong."""

from __future__ import annotations

import subprocess
import sys

import pydantic
import pytest

from adapters.telegram.settings import ChannelSettings
from bot.errors import SettingsError
from bot.settings import load_settings
from tests.adapters.telegram.doubles import BOT_ID, SECRET, TOKEN

URL = "https://bot.example.com/telegram/webhook"


def test_the_channel_is_off_without_a_token() -> None:
    assert not ChannelSettings().on


def test_a_token_alone_makes_a_polling_channel_of_that_bot() -> None:
    settings = ChannelSettings.model_validate({"token": TOKEN})
    assert settings.on
    assert settings.transport == "polling"
    assert settings.account == str(BOT_ID)
    assert settings.collections == ("default",)


def test_a_webhook_may_live_under_a_path_of_the_proxy() -> None:
    url = "https://example.com/support/telegram/webhook"
    made = {"token": TOKEN, "transport": "webhook", "webhook_url": url, "webhook_secret": SECRET}
    assert ChannelSettings.model_validate(made).webhook_url == url


HALF = [
    pytest.param({"TOKEN": "123456 ABC"}, "telegram.token is no bot token", id="no token at all"),
    pytest.param({"TOKEN": f"bot{TOKEN}"}, "telegram.token is no bot token", id="the bot prefix of an address"),
    pytest.param({"WEBHOOK_URL": URL}, "telegram.token is missing", id="url without token"),
    pytest.param({"WEBHOOK_SECRET": SECRET}, "telegram.token is missing", id="secret without token"),
    pytest.param({"TRANSPORT": "webhook"}, "telegram.token is missing", id="transport without token"),
    pytest.param(
        {"TOKEN": TOKEN, "TRANSPORT": "webhook", "WEBHOOK_SECRET": SECRET},
        "telegram.webhook_url is missing",
        id="webhook without url",
    ),
    pytest.param(
        {"TOKEN": TOKEN, "TRANSPORT": "webhook", "WEBHOOK_URL": URL},
        "telegram.webhook_secret is missing",
        id="webhook without secret",
    ),
    pytest.param(
        {"TOKEN": TOKEN, "WEBHOOK_URL": "http://bot.example.com/telegram/webhook"}, "telegram.webhook_url", id="http"
    ),
    pytest.param(
        {"TOKEN": TOKEN, "WEBHOOK_URL": "https://bot.example.com/hook"}, "/telegram/webhook", id="another path"
    ),
    pytest.param({"TOKEN": TOKEN, "WEBHOOK_URL": f"{URL}?a=1"}, "/telegram/webhook", id="a query behind the path"),
    pytest.param({"TOKEN": TOKEN, "WEBHOOK_SECRET": "ö!"}, "telegram.webhook_secret", id="letters Telegram refuses"),
    pytest.param({"TOKEN": TOKEN, "WEBHOOK_SECRET": "x" * 257}, "telegram.webhook_secret", id="secret too long"),
    pytest.param({"TOKEN": TOKEN, "API_URL": "api.telegram.org"}, "telegram.api_url", id="address without scheme"),
    pytest.param({"TOKEN": TOKEN, "TRANSPORT": "poll"}, "telegram.transport", id="unknown transport"),
    pytest.param({"TOKEN": TOKEN, "COLLECTIONS": "[]"}, "telegram.collections", id="no collections"),
]


@pytest.mark.parametrize(("values", "expected"), HALF)
def test_half_a_configuration_is_one_clear_line_without_the_secret(values: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {f"KEFU_TELEGRAM__{key}": value for key, value in values.items()})
    line = str(refused.value)
    assert expected in line
    assert "\n" not in line
    for key in ("TOKEN", "WEBHOOK_SECRET"):
        assert values.get(key, TOKEN) not in line


def test_secrets_are_not_in_repr_nor_in_a_validation_error() -> None:
    settings = ChannelSettings.model_validate({"token": TOKEN, "webhook_secret": SECRET})
    assert TOKEN not in repr(settings)
    assert SECRET not in repr(settings)
    with pytest.raises(pydantic.ValidationError) as refused:
        ChannelSettings.model_validate({"token": "planted secret"})
    assert "planted" not in str(refused.value)


def test_reading_the_settings_does_not_import_the_library() -> None:
    script = (
        "import sys, adapters.telegram.settings; print([name for name in sys.modules if name in ('telegram', 'httpx')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
