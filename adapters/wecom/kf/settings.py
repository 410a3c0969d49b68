"""The `[wecom_kf]` section of `kefu.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

import pydantic

from adapters.wecom.crypto import is_aes_key

SECTION = "wecom_kf"
CALLBACK_PATH = "/wecom/kf/callback"
POOL, DESK = "pool", "desk"

_CORP_ID = re.compile(r"[A-Za-z0-9_-]{6,64}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_SERVICER = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)
_NEEDED = ("corp_id", "secret", "token", "aes_key")


def _corp_id(value: str) -> str:
    if value and not _CORP_ID.fullmatch(value):
        raise ValueError("is no corp id: the page 我的企业 shows it, in the form ww1234567890abcdef")
    return value


def _token(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("must be 1 to 32 letters and digits (WeCom's rule for a callback's Token)")
    return value


def _aes_key(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not is_aes_key(value.get_secret_value()):
        raise ValueError("must be the EncodingAESKey of the callback: 43 letters and digits")
    return value


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the address of WeCom's API, such as https://qyapi.weixin.qq.com")
    return value.rstrip("/")


def _hand_over_to(value: str) -> str:
    if not _SERVICER.fullmatch(value):
        raise ValueError(f'must be "{POOL}", "{DESK}" or the user id of a colleague who receives customers (接待人员)')
    return value


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the 微信客服 channel."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    corp_id: Annotated[str, pydantic.AfterValidator(_corp_id)] = ""
    """The company's id (企业ID)."""
    secret: pydantic.SecretStr = pydantic.SecretStr("")
    """Of the self-built app that is listed under 微信客服 → 可调用接口的应用. The channel is on when it is set."""
    token: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_token)] = pydantic.SecretStr("")
    """Of the callback: calls are signed with it."""
    aes_key: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_aes_key)] = pydantic.SecretStr("")
    """Of the callback (EncodingAESKey): calls are encrypted with it."""
    api_url: Annotated[str, pydantic.AfterValidator(_api_url)] = "https://qyapi.weixin.qq.com"
    """Another address for a proxy of one's own."""
    hand_over_to: Annotated[str, pydantic.AfterValidator(_hand_over_to)] = POOL
    """Who gets a customer who asks for a person: "pool" (待接入池, for any colleague there), a colleague's user id, or
    "desk": nobody in WeCom, the ticket alone. What a colleague has in WeCom can not be answered from kefu any more."""
    collections: tuple[str, ...] = pydantic.Field(default=("default",), min_length=1)
    """What customers may be told from."""

    @property
    def on(self) -> bool:
        return bool(self.secret.get_secret_value())

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        given = {
            "corp_id": bool(self.corp_id),
            "secret": self.on,
            "token": bool(self.token.get_secret_value()),
            "aes_key": bool(self.aes_key.get_secret_value()),
        }
        asked = [name for name in _NEEDED if given[name]]
        missing = [name for name in _NEEDED if not given[name]]
        if asked and missing:
            raise ValueError(f"{SECTION}.{missing[0]} is missing, but {SECTION}.{asked[0]} is set")
        return self
