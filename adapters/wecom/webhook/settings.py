"""The `[wecom_webhook]` section of `kefu.toml`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import pydantic

from adapters.wecom.values import NOTHING

SECTION = "wecom_webhook"


def _url(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if not value.get_secret_value():
        return value
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname or len(parse_qs(parts.query).get("key", [])) != 1:
        raise ValueError("is no group robot's address: https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…")
    return value


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of a WeCom group's robot (群机器人): it only speaks."""

    # The input of a refused value is a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_url)] = NOTHING
    """Its Webhook address, key included: whoever has it can write into the group. The channel is on when it is set."""

    @property
    def on(self) -> bool:
        return bool(self.url.get_secret_value())
