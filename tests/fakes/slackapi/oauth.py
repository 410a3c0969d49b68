"""Installing the app: the page where a person agrees, the exchange of the code, and token rotation."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.state import APP, BOT_SCOPES, TEAM, Json, State, Token
from tests.fakes.slackapi.tokens import Tokens

CODE_LIFE = 600.0
TOKEN_LIFE = 43_200


@dataclass(slots=True, kw_only=True)
class Code:
    team: str
    redirect_uri: str
    scopes: str
    expires_at: float
    used: bool = False


class OAuth:
    """`oauth.v2.access` and the page before it. `team` is the workspace whose admin agrees next."""

    def __init__(self, state: State, tokens: Tokens, *, client_id: str, client_secret: str) -> None:
        self._state = state
        self._tokens = tokens
        self.client_id = client_id
        self.client_secret = client_secret
        self.team = TEAM
        self.installer = "UADMIN"
        self.refuses = False
        """The person says no: the bot is told `error=access_denied`."""
        self.rotation = False
        """Token rotation is on for the app: tokens live twelve hours."""
        self.codes: dict[str, Code] = {}

    async def page(self, request: web.Request) -> web.Response:
        """GET /oauth/v2/authorize: what a person's browser sees; here it agrees at once."""
        asked = request.query
        if asked.get("client_id") != self.client_id:
            return web.Response(status=400, text="invalid_client_id")
        back = asked.get("redirect_uri") or ""
        if self.refuses:
            answer = {"error": "access_denied", "state": asked.get("state", "")}
        else:
            code = self.agree(redirect_uri=back, scopes=asked.get("scope", BOT_SCOPES))
            answer = {"code": code, "state": asked.get("state", "")}
        return web.Response(status=302, headers={"Location": f"{back}?{urlencode(answer)}"})

    def agree(self, *, team: str = "", redirect_uri: str = "", scopes: str = BOT_SCOPES) -> str:
        """An admin of the workspace agrees; the code for `oauth.v2.access`."""
        code = self._state.new_id("code.")
        self.codes[code] = Code(
            team=team or self.team, redirect_uri=redirect_uri, scopes=scopes,
            expires_at=self._state.clock.now() + CODE_LIFE,
        )  # fmt: skip
        return code

    def access(self, params: Params, authorization: str) -> Json:
        """oauth.v2.access.

        :raises Refused: invalid_client_id, bad_client_secret, invalid_code, bad_redirect_uri, invalid_refresh_token.
        """
        client_id, secret = _basic(authorization) or (params.text("client_id"), params.text("client_secret"))
        if client_id != self.client_id:
            raise Refused("invalid_client_id")
        if secret != self.client_secret:
            raise Refused("bad_client_secret")
        if params.text("grant_type") == "refresh_token":
            return self._answer(self._refreshed(params.text("refresh_token")))
        return self._answer(self._exchanged(params))

    def _exchanged(self, params: Params) -> Token:
        code = self.codes.get(params.text("code"))
        if code is None or self._state.clock.now() >= code.expires_at:
            raise Refused("invalid_code")
        if code.used:
            raise Refused("code_already_used")
        if code.redirect_uri != params.text("redirect_uri"):
            raise Refused("bad_redirect_uri")
        code.used = True
        team = self._state.team(code.team)
        if not self.rotation and (found := [one for one in self._tokens.of(team.id) if not one.error]):
            return found[-1]  # installing again gives the same token
        return self._tokens.bot(team.id, scopes=code.scopes, life=TOKEN_LIFE if self.rotation else None)

    def _refreshed(self, refresh: str) -> Token:
        """A new pair; the old token works to its end, the old refresh token does not."""
        old = next((one for one in self._state.tokens.values() if refresh and one.refresh == refresh), None)
        if old is None:
            raise Refused("invalid_refresh_token")
        if old.error:
            raise Refused(old.error)
        old.refresh = ""
        return self._tokens.bot(old.team, scopes=",".join(sorted(old.scopes)), life=TOKEN_LIFE)

    def _answer(self, token: Token) -> Json:
        team = self._state.team(token.team)
        answer: Json = {
            "app_id": APP, "authed_user": {"id": self.installer}, "scope": ",".join(sorted(token.scopes)),
            "token_type": "bot", "access_token": token.value, "bot_user_id": team.bot_user,
            "team": None if team.org_wide else {"id": team.id, "name": team.name},
            "enterprise": {"id": team.enterprise, "name": team.enterprise} if team.enterprise else None,
            "is_enterprise_install": team.org_wide,
        }  # fmt: skip
        if token.expires_at is not None:
            answer |= {
                "refresh_token": token.refresh,
                "expires_in": max(0, round(token.expires_at - self._state.clock.now())),
            }
        return answer


def _basic(authorization: str) -> tuple[str, str] | None:
    kind, _, rest = authorization.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return None
    return name, secret
