"""Who may call what: tokens, their ends, and the scopes of each method."""

from __future__ import annotations

from tests.fakes.slackapi.errors import Refused
from tests.fakes.slackapi.state import BOT_SCOPES, TEAM, Json, State, Token

# One of these is enough; no entry: any token will do.
SCOPES: dict[str, tuple[str, ...]] = {
    "chat.postMessage": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "chat.update": ("chat:write",),
    "chat.delete": ("chat:write",),
    "chat.startStream": ("chat:write",),
    "chat.appendStream": ("chat:write",),
    "chat.stopStream": ("chat:write",),
    "agents.sessions.setStatus": ("chat:write",),
    "agents.sessions.rename": ("chat:write",),
    "assistant.threads.setStatus": ("assistant:write", "chat:write"),
    "assistant.threads.setTitle": ("assistant:write",),
    "assistant.threads.setSuggestedPrompts": ("assistant:write",),
    "reactions.add": ("reactions:write",),
    "reactions.remove": ("reactions:write",),
    "users.info": ("users:read",),
    "bots.info": ("users:read",),
    "team.info": ("team:read",),
    "files.info": ("files:read",),
    "conversations.open": ("im:write", "mpim:write"),
    "apps.connections.open": ("connections:write",),
    "apps.event.authorizations.list": ("authorizations:read",),
}
# Those that read a conversation need the scope of its kind.
BY_KIND = {"conversations.replies": "history", "conversations.history": "history", "conversations.info": "read"}
_KINDS = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}
APP_TOKEN = frozenset({"apps.connections.open", "apps.event.authorizations.list"})
EITHER = frozenset({"auth.test"})
WITHOUT_TOKEN = frozenset({"api.test", "oauth.v2.access"})


class Tokens:
    """Makes tokens, ends them on order, and judges them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def bot(self, team: str = TEAM, *, value: str = "", scopes: str = BOT_SCOPES, life: float | None = None) -> Token:
        """A bot token of the workspace; with `life` one that expires and has a refresh token."""
        found = self._new(value or f"xoxb-{self._state.new_id('')}", "bot", team, scopes)
        if life is not None:
            found.expires_at = self._state.clock.now() + life
            found.refresh = f"xoxe-1-{self._state.new_id('')}"
        return found

    def app(self, *, value: str = "") -> Token:
        """An app-level token."""
        return self._new(
            value or f"xapp-1-{self._state.new_id('')}", "app", "", "connections:write,authorizations:read"
        )

    def of(self, team: str = TEAM) -> list[Token]:
        """The bot tokens of the workspace, oldest first."""
        return [token for token in self._state.tokens.values() if token.kind == "bot" and token.team == team]

    def ends(self, error: str = "token_revoked", *, value: str = "", team: str = TEAM) -> None:
        """From now on `error` (token_revoked, account_inactive, token_expired, invalid_auth) is what the token, or
        every bot token of the workspace, gets."""
        for token in [self._state.tokens[value]] if value else self.of(team):
            token.error = error
        self._state.touch()

    def works_again(self, *, value: str = "", team: str = TEAM) -> None:
        for token in [self._state.tokens[value]] if value else self.of(team):
            token.error = ""

    def loses(self, scope: str, *, team: str = TEAM) -> None:
        """The workspace's tokens no longer have this scope."""
        for token in self.of(team):
            token.scopes.discard(scope)

    def judge(self, method: str, value: str) -> Token | None:
        """The token of a call.

        :raises Refused: not_authed, invalid_auth, token_revoked, …, not_allowed_token_type, missing_scope.
        """
        if method in WITHOUT_TOKEN:
            return None
        if not value:
            raise Refused("not_authed")
        token = self._state.tokens.get(value)
        if token is None:
            raise Refused("invalid_auth")
        if token.error:
            raise Refused(token.error)
        if token.expires_at is not None and self._state.clock.now() >= token.expires_at:
            raise Refused("token_expired")
        if method not in EITHER and (token.kind == "app") != (method in APP_TOKEN):
            raise Refused("not_allowed_token_type")
        self._check(token, SCOPES.get(method, ()))
        return token

    def judge_kind(self, token: Token, method: str, kind: str) -> None:
        """:raises Refused: missing_scope, for methods that ask by the kind of the conversation."""
        if method in BY_KIND:
            self._check(token, (f"{_KINDS[kind]}:{BY_KIND[method]}",))

    def _check(self, token: Token, wanted: tuple[str, ...]) -> None:
        if wanted and not token.scopes & set(wanted):
            about: Json = {"needed": ",".join(wanted), "provided": ",".join(sorted(token.scopes))}
            raise Refused("missing_scope", **about)

    def _new(self, value: str, kind: str, team: str, scopes: str) -> Token:
        token = Token(value=value, kind=kind, team=team, scopes=set(scopes.split(",")))
        self._state.tokens[value] = token
        return token
