"""What an operator may write into [slack], and the one line that says what is wrong."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from adapters.slack.settings import ChannelSettings
from bot.settings import all_sections, load_settings
from tests.adapters.slack.samples import WAYS

BOT, APP, SECRET = WAYS["socket"]["bot_token"], WAYS["socket"]["app_token"], WAYS["http"]["signing_secret"]
SEVERAL = WAYS["workspaces"]


def test_it_is_off_until_there_are_credentials() -> None:
    assert not ChannelSettings().on
    assert all_sections()["slack"] is ChannelSettings


@pytest.mark.parametrize(
    ("values", "transport"),
    [
        (WAYS["socket"], "socket"),
        (WAYS["http"], "http"),
        (SEVERAL, "http"),
        ({**WAYS["socket"], "signing_secret": SECRET, "transport": "http"}, "http"),
    ],
)
def test_the_transport_follows_the_credentials(values: dict[str, Any], transport: str) -> None:
    settings = ChannelSettings(**values)
    assert settings.on
    assert settings.transport == transport
    assert settings.many == ("client_id" in values)


def test_it_can_be_written_into_the_environment() -> None:
    environ = {"KEFU_SLACK__BOT_TOKEN": BOT, "KEFU_SLACK__APP_TOKEN": APP, "KEFU_SLACK__SOCKETS": "3"}
    settings = load_settings(None, environ).channels["slack"]
    assert isinstance(settings, ChannelSettings)
    assert (settings.transport, settings.sockets) == ("socket", 3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bot_token": BOT}, 'slack.signing_secret is missing: slack.transport = "http" needs it'),
        ({"bot_token": BOT, "signing_secret": SECRET, "transport": "socket"}, "slack.app_token is missing"),
        ({"bot_token": BOT, "app_token": APP, "transport": "http"}, "slack.signing_secret is missing"),
        ({"app_token": APP}, "slack.bot_token (or slack.client_id) is missing, but slack.app_token is set"),
        ({"signing_secret": SECRET}, "slack.bot_token (or slack.client_id) is missing"),
        ({"token_key": SEVERAL["token_key"]}, "slack.bot_token (or slack.client_id) is missing"),
        ({**SEVERAL, "bot_token": BOT}, "set one of them"),
        ({**SEVERAL, "client_secret": ""}, "slack.client_secret is missing"),
        ({**SEVERAL, "token_key": ""}, "slack.token_key is missing: slack.client_id needs it"),
        ({**WAYS["http"], "token_key": SEVERAL["token_key"]}, "slack.client_id is missing, but slack.token_key is set"),
        ({"bot_token": "xoxp-a-person's"}, "begins with xoxb-"),
        ({"bot_token": BOT, "app_token": BOT}, "begins with xapp-"),
        ({**SEVERAL, "token_key": "short"}, "is no key"),
        ({**SEVERAL, "client_id": "x"}, "is no client id"),
        ({**WAYS["http"], "api_url": "slack.com"}, "address of Slack's Web API"),
        ({**WAYS["http"], "sockets": 11}, "less than or equal to 10"),
        ({**WAYS["http"], "colections": ["x"]}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(values: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        ChannelSettings(**values)
    assert words in str(refused.value)
    for value in values.values():
        if isinstance(value, str) and len(value) > 20 and "://" not in value:
            assert value not in str(refused.value)


def test_the_address_ends_with_a_slash() -> None:
    assert ChannelSettings(api_url="https://proxy.example/api").api_url == "https://proxy.example/api/"


def test_keys_may_be_replaced_one_after_the_other() -> None:
    key = SEVERAL["token_key"]
    assert ChannelSettings(**{**SEVERAL, "token_key": f"{key}, {key}"}).keys == (key, key)
