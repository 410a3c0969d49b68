"""The section of 微信客服: whole or not at all, and secrets are not shown."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from adapters.wecom.kf.settings import ChannelSettings
from tests.adapters.wecom.kf.samples import WAYS

WHOLE: dict[str, Any] = dict(WAYS["callback"])


def test_it_is_off_until_it_is_whole() -> None:
    assert not ChannelSettings().on
    assert ChannelSettings.model_validate(WHOLE).on
    assert ChannelSettings.model_validate(WHOLE).hand_over_to == "pool"


@pytest.mark.parametrize("missing", ["corp_id", "secret", "token", "aes_key"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=f"wecom_kf.{missing} is missing"):
        ChannelSettings.model_validate({name: value for name, value in WHOLE.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("corp_id", "ww 12"),
        ("token", "with-hyphen"),
        ("token", "x" * 33),
        ("aes_key", "no-such-key"),
        ("aes_key", "x" * 42 + "="),
        ("api_url", "ftp://qyapi.weixin.qq.com"),
        ("api_url", "https://qyapi.weixin.qq.com?x=1"),
        ("hand_over_to", "two words"),
        ("hand_over_to", ""),
        ("collections", []),
        ("agent_id", 7),
    ],
)
def test_what_wecom_would_not_give_is_refused_without_showing_it(name: str, value: object) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        ChannelSettings.model_validate(WHOLE | {name: value})
    shown = str(refused.value)
    assert name in shown
    assert "no-such-key" not in shown
    assert "with-hyphen" not in shown
    assert "a-secret-that-nobody-has" not in shown
