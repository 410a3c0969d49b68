"""The `[wecom_app]` section of `kefu.toml`."""

from __future__ import annotations

from typing import Self

import pydantic

from adapters.wecom.values import API_URL, NOTHING, AesKey, ApiUrl, CallbackToken, CorpId, Secret, ask_whole

SECTION = "wecom_app"
CALLBACK_PATH = "/wecom/app/callback"


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of a WeCom app (自建应用)."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    corp_id: CorpId = ""
    """The company's id, ww…"""
    agent_id: int = pydantic.Field(default=0, ge=0)
    """The app's AgentId, a number."""
    secret: Secret = NOTHING
    """The app's Secret. The channel is on when it is set."""
    token: CallbackToken = NOTHING
    """The Token of 接收消息: what WeCom signs its calls with."""
    aes_key: AesKey = NOTHING
    """The EncodingAESKey of 接收消息: what WeCom encrypts its calls with."""
    api_url: ApiUrl = API_URL
    """Another address for WeCom's API (a proxy of one's own, a private deployment)."""
    collections: tuple[str, ...] = pydantic.Field(default=("default",), min_length=1)
    """What colleagues may be told from."""

    @property
    def on(self) -> bool:
        return bool(self.secret.get_secret_value())

    @property
    def account(self) -> str:
        """One company may have several apps."""
        return f"{self.corp_id}/{self.agent_id}"

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        names = ("corp_id", "agent_id", "secret", "token", "aes_key")
        ask_whole(SECTION, {name: getattr(self, name) for name in names})
        return self
