"""Access tokens: one for each secret, the same one until it ends."""

from __future__ import annotations

import secrets

from tests.fakes.wecomapi.errors import Refused
from tests.fakes.wecomapi.params import Asked, Method
from tests.fakes.wecomapi.state import Json, Secret, State

LIFE = 7200.0


class Tokens:
    """gettoken, and who a token belongs to."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._dead: dict[str, int] = {}
        self.life = LIFE
        self.per_minute = 30
        """More gettoken calls than this in a minute are a violation: WeCom blocks whoever asks too often."""
        self.asked: list[tuple[float, str]] = []
        """When gettoken was called, and for which secret's name ("" for an unknown one)."""

    def table(self) -> dict[str, Method]:
        return {"gettoken": Method("GET", "", self.get)}

    def add(self, secret: Secret) -> Secret:
        self._state.secrets[secret.name] = secret
        return secret

    def get(self, asked: Asked) -> Json:
        """A new token, or the one that is still good."""
        found = next((one for one in self._state.secrets.values() if one.value == asked.query.get("corpsecret")), None)
        asked.call.secret = found.name if found else ""
        self._count(asked)
        for name, code in (("corpid", 41002), ("corpsecret", 41004)):
            if not asked.query.get(name):
                raise Refused(code)
        if asked.query["corpid"] != self._state.corp_id:
            raise Refused(40013)
        if found is None or found.refused:
            raise Refused(found.refused if found else 40001)
        now = self._state.clock.now()
        if not found.token or found.expires_at <= now or found.token in self._dead:
            found.token, found.expires_at = secrets.token_urlsafe(160), now + self.life
        return {"access_token": found.token, "expires_in": int(found.expires_at - now)}

    def _count(self, asked: Asked) -> None:
        now = self._state.clock.now()
        self.asked.append((now, asked.call.secret))
        recent = [at for at, name in self.asked if name == asked.call.secret and at > now - 60]
        if len(recent) > self.per_minute:
            asked.breaks("gettoken", f"{len(recent)} times in a minute")

    def judge(self, value: str | None) -> Secret:
        """Whose token it is.

        :raises Refused: 41001, 40014, 42001.
        """
        if not value:
            raise Refused(41001)
        if value in self._dead:
            raise Refused(self._dead[value])
        owner = next((one for one in self._state.secrets.values() if one.token == value), None)
        if owner is None:
            raise Refused(40014)
        if owner.expires_at <= self._state.clock.now():
            raise Refused(42001)
        return owner

    # -- What happens to tokens and secrets --

    def revoke(self, name: str, errcode: int = 42001) -> None:
        """The present token is over before its time; gettoken gives another."""
        secret = self._state.secrets[name]
        if secret.token:
            self._dead[secret.token] = errcode

    def ends(self, name: str, errcode: int = 40001) -> None:
        """Somebody changed the secret: no new token, and the present one is over."""
        self.revoke(name, 40014)
        self._state.secrets[name].refused = errcode

    def works_again(self, name: str) -> None:
        """The operator has mended it."""
        self._state.secrets[name].refused = 0

    def count(self, name: str) -> int:
        """How often a token was asked for with this secret."""
        return sum(1 for _, asked in self.asked if asked == name)
