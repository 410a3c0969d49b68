"""slack_sdk's client for the few calls that are made as the app, and not with a workspace's token."""

from __future__ import annotations

import base64
import logging
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse


class AppClient(AsyncWebClient):
    """Opens a connection for each call, so there is nothing to close."""

    def __init__(self, api_url: str, *, limit: float) -> None:
        # What the SDK would say holds codes, tokens and secrets; whoever calls says what went wrong.
        silent = logging.getLogger("adapters.slack.app_client")
        silent.setLevel(logging.CRITICAL)
        super().__init__(base_url=api_url, timeout=max(1, int(limit)), logger=silent, retry_handlers=[])

    async def oauth_v2_access(  # type: ignore[override]  # no **kwargs: nobody passes more
        self,
        *,
        client_id: str,
        client_secret: str,
        code: str | None = None,
        redirect_uri: str | None = None,
        grant_type: str | None = None,
        refresh_token: str | None = None,
    ) -> AsyncSlackResponse:
        """As in the SDK, which says who we are with a class that aiohttp is about to drop."""
        given: dict[str, Any] = {
            "code": code,
            "redirect_uri": redirect_uri,
            "grant_type": grant_type,
            "refresh_token": refresh_token,
        }
        who = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        return await self.api_call(
            "oauth.v2.access",
            data={name: value for name, value in given.items() if value is not None},
            headers={"Authorization": f"Basic {who}"},
        )
