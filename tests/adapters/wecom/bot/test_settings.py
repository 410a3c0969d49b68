"""What an operator can write into [wecom_bot], and what of it is refused."""

from __future__ import annotations

import pydantic
import pytest

from adapters.wecom.bot.settings import ChannelSettings
from tests.adapters.wecom.bot.samples import WAYS


def test_without_a_bot_the_channel_is_off() -> None:
    assert not ChannelSettings().on


@pytest.mark.parametrize("way", WAYS)
def test_each_way_turns_it_on(way: str) -> None:
    assert ChannelSettings.model_validate(WAYS[way]).on


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"secret": "a-secret-of-nobody"}, "wecom_bot.bot_id is missing", id="no bot"),
        pytest.param({"bot_id": "aib1"}, "wecom_bot.secret is missing", id="no secret"),
        pytest.param({"bot_id": "aib1", "transport": "callback", "token": "abc"}, "aes_key is missing", id="no key"),
        pytest.param({"bot_id": "a b"}, "is no bot id", id="bot id"),
        pytest.param({"bot_id": "aib1", "aes_key": "short-and-secret"}, "EncodingAESKey", id="key"),
        pytest.param({"bot_id": "aib1", "ws_url": "https://x.example"}, "must be an address", id="address"),
        pytest.param({"bot_id": "aib1", "secret": "s3cr et-value"}, "is no secret", id="secret"),
    ],
)
def test_half_or_malformed_credentials_are_refused_without_being_repeated(values: dict[str, str], words: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        ChannelSettings.model_validate(values)
    assert words in str(refused.value)
    assert not [secret for name, secret in values.items() if name in ("secret", "aes_key") and secret in str(refused)]
