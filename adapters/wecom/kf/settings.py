"""The `[wecom_kf]` section of `kefu.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Self

import pydantic

from adapters.wecom.values import API_URL, NOTHING, AesKey, ApiUrl, CallbackToken, CorpId, Secret, ask_whole

SECTION = "wecom_kf"
CALLBACK_PATH = "/wecom/kf/callback"
POOL, DESK = "pool", "desk"

_SERVICER = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)


def _hand_over_to(value: str) -> str:
    if not _SERVICER.fullmatch(value):
        raise ValueError(f'must be "{POOL}", "{DESK}" or the user id of a colleague who receives customers (接待人员)')
    return value


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the 微信客服 channel."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    corp_id: CorpId = ""
    """The company's id (企业ID)."""
    secret: Secret = NOTHING
    """Of the self-built app that is listed under 微信客服 → 可调用接口的应用. The channel is on when it is set."""
    token: CallbackToken = NOTHING
    """Of the callback: calls are signed with it."""
    aes_key: AesKey = NOTHING
    """Of the callback (EncodingAESKey): calls are encrypted with it."""
    api_url: ApiUrl = API_URL
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
        ask_whole(SECTION, {name: getattr(self, name) for name in ("corp_id", "secret", "token", "aes_key")})
        return self
