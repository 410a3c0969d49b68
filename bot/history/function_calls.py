"""The log of calls that change something outside: one row a call, written before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from bot.history.database import Database
from bot.history.statements import Statement, insert_into
from bot.history.tables import function_calls
from bot.ports import CallRecord, Clock

_FIND = Statement(select(function_calls.c.result).where(function_calls.c.key == bindparam("call")))
_BEGIN = Statement(insert_into(function_calls, "key turn_id person_id function started_at"))
_FINISH = Statement(
    update(function_calls)
    .where(function_calls.c.key == bindparam("call"))
    .values(result=bindparam("result"), finished_at=bindparam("finished_at"))
)


class StoredCalls:
    """Implements `bot.ports.CallLog`. Waits for a database that can not commit as long as its caller does: a call is
    not made before its row is there, and one that was made must not be forgotten."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, key: str) -> CallRecord | None:
        """See `bot.ports.CallLog`."""
        return await self._database.read(lambda connection: _find(connection, key))

    async def begin(self, key: str, *, function: str, turn_id: str, requester: str) -> CallRecord | None:
        """See `bot.ports.CallLog`."""
        row = {
            "key": key,
            "turn_id": turn_id,
            "person_id": requester,
            "function": function,
            "started_at": self._clock.now(),
        }

        def work(connection: Connection) -> CallRecord | None:
            found = _find(connection, key)
            if found is None:
                _BEGIN.run(connection, row)
            return found

        return await self._database.write(work)

    async def finish(self, key: str, result: Mapping[str, Any]) -> None:
        """See `bot.ports.CallLog`."""
        row = {"call": key, "result": dict(result), "finished_at": self._clock.now()}
        await self._database.write(lambda connection: _FINISH.run(connection, row))


def _find(connection: Connection, key: str) -> CallRecord | None:
    row = _FIND.first(connection, {"call": key})
    return None if row is None else CallRecord(result=row.result)
