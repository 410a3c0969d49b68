"""slack_sdk's SQLAlchemy stores inside the product's own transactions, with tokens that only our key can read.

The SDK's asynchronous stores would open the database a second time through aiosqlite: a second writer, and the
standard library's SQLite beside pysqlite3's on one file, whose locks do not see each other
(docs/decisions/0002-one-writer.md). Its plain stores ask their engine for transactions; here they are given one that is
already open. The tables are in `bot.history.tables`, with the columns that the SDK uses (and more room for tokens).
"""

from __future__ import annotations

import contextlib
import copy
import logging
from datetime import UTC, datetime
from typing import Any, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from slack_sdk.oauth.installation_store.models.bot import Bot
from slack_sdk.oauth.installation_store.models.installation import Installation
from slack_sdk.oauth.installation_store.sqlalchemy import SQLAlchemyInstallationStore
from slack_sdk.oauth.state_store.sqlalchemy import SQLAlchemyOAuthStateStore
from sqlalchemy import Connection, Engine, MetaData, delete, func, or_, select

from bot.errors import StoreUnavailable
from bot.ports import Transactions

STATE_LIFE = 600
"""Seconds between the beginning of an installation and its end."""
_STATES = 10_000
"""Anybody may begin an installation, so there is a bound on how many may be under way."""


class _Open:
    """An engine whose only transaction is open already; whoever opened it commits it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self) -> contextlib.AbstractContextManager[Connection]:
        return contextlib.nullcontext(self._connection)

    connect = begin


_tables = MetaData()
_bots = SQLAlchemyInstallationStore.build_bots_table(_tables, "installed_bots")
_installations = SQLAlchemyInstallationStore.build_installations_table(_tables, "installations")
_states = SQLAlchemyOAuthStateStore.build_oauth_states_table(_tables, "oauth_states")
# At DEBUG the SDK logs rows.
_quiet = logging.getLogger("adapters.slack.stores")


class _Installations(SQLAlchemyInstallationStore):
    def __init__(self, client_id: str, connection: Connection) -> None:
        self.client_id = client_id
        self.engine = cast("Engine", _Open(connection))
        self.bots, self.installations = _bots, _installations
        self._logger = _quiet


class _States(SQLAlchemyOAuthStateStore):
    def __init__(self, connection: Connection) -> None:
        self.expiration_seconds = STATE_LIFE
        self.engine = cast("Engine", _Open(connection))
        self.oauth_states = _states
        self._logger = _quiet


class Locker:
    """Encrypts tokens with the first key, decrypts them with any."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def lock(self, token: str | None) -> str | None:
        return self._fernet.encrypt(token.encode()).decode() if token else None

    def unlock(self, locked: str | None) -> str | None:
        """None where none of our keys made it."""
        try:
            return self._fernet.decrypt(locked.encode()).decode() if locked else None
        except InvalidToken:
            return None


class InstallationRows:
    """The installations, one row a workspace in each of the SDK's two tables."""

    def __init__(self, client_id: str, database: Transactions, locker: Locker) -> None:
        self._client_id = client_id
        self._database = database
        self._locker = locker

    async def save(self, installation: Installation) -> None:
        """In place of an earlier one of the same workspace: an old token is of use to nobody but a thief.

        :raises StoreUnavailable: nothing was kept.
        """
        kept = copy.copy(installation)
        kept.bot_token = self._locker.lock(installation.bot_token)
        kept.bot_refresh_token = self._locker.lock(installation.bot_refresh_token)
        # We ask for nothing in a person's name, and post nowhere but as ourselves: none of our business to keep.
        kept.user_token = kept.user_refresh_token = kept.user_scopes = None
        kept.incoming_webhook_url = kept.incoming_webhook_configuration_url = None

        def work(connection: Connection) -> None:
            store = _Installations(self._client_id, connection)
            store.delete_all(enterprise_id=kept.enterprise_id, team_id=_team(kept))
            store.save(kept)

        await self._database.write(work)

    async def refresh(self, bot: Bot) -> None:
        """New tokens of an installation that is there.

        :raises StoreUnavailable: nothing was kept.
        """
        kept = copy.copy(bot)
        kept.bot_token = cast("str", self._locker.lock(bot.bot_token))
        kept.bot_refresh_token = self._locker.lock(bot.bot_refresh_token)
        await self._database.write(lambda connection: _Installations(self._client_id, connection).save_bot(kept))

    async def find(self, account: str) -> Bot | None:
        """The bot of a workspace, or of an organisation as a whole; None where it is not installed, or where no key of
        ours fits its token.

        :raises StoreUnavailable: it can not be read now.
        """
        statement = (
            select(_bots)
            .where(_bots.c.client_id == self._client_id, _of(_bots, account), _bots.c.bot_token.is_not(None))
            .order_by(_bots.c.installed_at.desc(), _bots.c.id.desc())
            .limit(1)
        )
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().first())
        if row is None:
            return None
        bot = SQLAlchemyInstallationStore.build_bot_entity(row)
        token = self._locker.unlock(bot.bot_token)
        if token is None:
            return None
        bot.bot_token, bot.bot_refresh_token = token, self._locker.unlock(bot.bot_refresh_token)
        return bot

    async def remove(self, account: str, before: datetime) -> bool:
        """Removes what was installed until then: an old notice must not undo a new installation. Whether there was any.

        :raises StoreUnavailable: nothing was removed.
        """
        until = before.astimezone(UTC).replace(tzinfo=None)

        def work(connection: Connection) -> bool:
            found = 0
            for table in (_bots, _installations):
                mine = (table.c.client_id == self._client_id, _of(table, account), table.c.installed_at <= until)
                found += connection.execute(delete(table).where(*mine)).rowcount
            return found > 0

        return await self._database.write(work)


def _team(installation: Installation) -> str | None:
    return None if installation.is_enterprise_install else installation.team_id


def _of(table: Any, account: str) -> Any:
    """Rows of an account: a workspace's id, or that of an organisation which is installed as a whole."""
    whole = table.c.is_enterprise_install.is_(True) & (table.c.enterprise_id == account)
    return or_(whole, table.c.is_enterprise_install.is_(False) & (table.c.team_id == account))


class StateRows:
    """The numbers of installations under way. Each is good once, and not for long."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def issue(self) -> str:
        """
        :raises StoreUnavailable: nothing was kept, or far too many are under way.
        """

        def work(connection: Connection) -> str:
            connection.execute(delete(_states).where(_states.c.expire_at <= _now()))
            if connection.execute(select(func.count()).select_from(_states)).scalar_one() >= _STATES:
                return ""
            return _States(connection).issue()

        state = await self._database.write(work)
        if not state:
            raise StoreUnavailable("too many installations are under way")
        return state

    async def consume(self, state: str) -> bool:
        """Whether it was one of ours, in time, and nobody has used it before.

        :raises StoreUnavailable: it was not used.
        """
        # The SDK reads and then deletes; between the two another replica could read the same row.
        statement = delete(_states).where(_states.c.state == state, _states.c.expire_at > _now())
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
