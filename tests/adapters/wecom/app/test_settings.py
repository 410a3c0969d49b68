"""What an operator can set, and what the one line says when it is wrong."""

from __future__ import annotations

import pytest

from adapters.wecom.app.settings import ChannelSettings
from bot.errors import SettingsError
from bot.settings import Settings, load_settings
from tests.adapters.wecom.app.samples import WAYS

WHOLE = WAYS["callback"]


def load(section: str, values: dict[str, str]) -> Settings:
    return load_settings(None, {f"KEFU_{section}__{name}".upper(): value for name, value in values.items()})


def test_the_channel_is_off_without_credentials_and_on_with_all_of_them() -> None:
    assert not ChannelSettings().on
    settings = ChannelSettings.model_validate(WHOLE)
    assert settings.on
    assert settings.account == "ww1436e0e65a779aee/1000002"
    assert settings.api_url == "http://127.0.0.1:9"
    assert ChannelSettings().api_url == "https://qyapi.weixin.qq.com"


@pytest.mark.parametrize("missing", ["corp_id", "agent_id", "secret", "token", "aes_key"])
def test_half_of_the_credentials_name_what_is_missing(missing: str) -> None:
    with pytest.raises(SettingsError, match=rf"wecom_app\.{missing} is missing"):
        load("wecom_app", {name: value for name, value in WHOLE.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("corp_id", "the corp", "is no corp id"),
        ("secret", "short", "is no secret"),
        ("token", "with-a-dash", "is no Token"),
        ("token", "x" * 33, "is no Token"),
        ("aes_key", "x" * 42, "is no EncodingAESKey"),
        ("aes_key", "x" * 42 + "=", "is no EncodingAESKey"),
        ("agent_id", "the app", "must be a whole number"),
        ("agent_id", "-1", "must be at least 0"),
        ("api_url", "qyapi.weixin.qq.com", "must be the address of WeCom's API"),
    ],
)
def test_what_can_not_be_right_is_said_without_repeating_a_secret(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"KEFU_WECOM_APP__{name.upper()}: wecom_app\.{name}.*{said}") as error:
        load("wecom_app", {**WHOLE, name: value})
    assert name not in ("secret", "token", "aes_key") or value not in str(error.value)


@pytest.mark.parametrize("url", ["x", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send", "ftp://x/y?key=1"])
def test_a_robots_address_has_a_key(url: str) -> None:
    with pytest.raises(SettingsError, match=r"wecom_webhook\.url is no group robot's address"):
        load("wecom_webhook", {"url": url})


def test_operators_may_be_told_on_both() -> None:
    settings = load("tickets", {"notify": '["wecom_webhook:", "wecom_app:zhangsan"]'})
    assert settings.tickets.notify == ("wecom_webhook:", "wecom_app:zhangsan")
