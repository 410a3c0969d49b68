"""What was found before, in Redis: shared by several replicas, and there after a restart.

Redis only ever saves time. While it is down, hangs or holds something else, questions are searched as if there were
none: no question waits for it longer than a search takes, and none at all while it is known to be down.

Values are the company's own passages. Names are digests (`knowledge.hit_cache`), so no customer's word goes there.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from knowledge.hit_cache import Hits, MemoryHits, SearchKey, Tell, digest_of, version_name
from knowledge.redis_client import CONNECT_SECONDS, CONNECTIONS, client_maker, close, code_of, problem_of

if TYPE_CHECKING:  # an extra: imported when somebody wants it
    from redis.asyncio import Redis

PREFIX = "kefu:hits:1:"
"""Every name begins with it; the number is the format of names and values."""

LIMIT_SECONDS = 0.05
"""A question waits for Redis no longer: embedding and searching take 20 to 50 ms."""
REST_SECONDS = 5.0
"""How often a Redis that is down is tried again, and one that is up is looked at."""
DROP_SECONDS = 30.0
"""For all of a version's entries: the names of a Redis that others use too, say ten million, are gone through."""
_MOST_BYTES = 512 * 1024
_MOST_AT_ONCE = 32
"""Commands; in a burst that is more than that, searching is quicker than queueing here."""
_SCANNED = 1000
_LEFT_VERSIONS = 64

log = logging.getLogger(__name__)

Work = Callable[["Redis"], Awaitable[Any]]


class RedisHits:
    """A `HitCache`: this process's memory first, Redis behind it. Made by `open_redis_hits`."""

    def __init__(
        self,
        make: Callable[[], "Redis"],
        memory: MemoryHits,
        *,
        ttl_seconds: int,
        tell: Tell,
        limit_seconds: float = LIMIT_SECONDS,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        """:param make: a client that has not connected yet."""
        self._make = make
        self._memory = memory
        self._ttl = ttl_seconds
        self._tell = tell
        self._limit = limit_seconds
        self._rest = rest_seconds
        self._values: TypeAdapter[Hits] = TypeAdapter(Hits)
        self._redis: Redis | None = None
        self._clients: set[Redis] = set()
        self._tried = asyncio.Event()
        self._problem = "is being connected to"
        self._refusing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asked: dict[asyncio.Task[Any], Redis] = {}
        self._asking = 0
        self._left: deque[str] = deque(maxlen=_LEFT_VERSIONS)
        self._owed: set[str] = set()

    @property
    def problem(self) -> str:
        """Why Redis is not used at the moment, in a few words without a secret; "" while it is."""
        return self._problem

    async def standing(self) -> str:
        """The problem, once Redis has been tried."""
        await self._tried.wait()
        return self._problem

    def at_hand(self, key: SearchKey) -> Hits | None:
        """See `HitCache`."""
        return self._memory.at_hand(key)

    async def get(self, key: SearchKey) -> Hits | None:
        """See `HitCache`."""
        found = None
        if key.edition.key:
            data = await self._ask(lambda redis: redis.get(_name(key)))
            found = self._read(data, key) if isinstance(data, bytes) else None
        if found is None:
            self._tell("missed")
            return None
        self._tell("redis")
        self._memory.put(key, found)
        return found

    def put(self, key: SearchKey, hits: Hits) -> None:
        """See `HitCache`."""
        self._memory.put(key, hits)
        if key.edition.key and self._redis is not None:
            self._begin(self._write(key, hits))

    def follow(self, former: str, newest: str) -> None:
        """See `HitCache`."""
        self._memory.follow(former, newest)
        # A database that was restored from a copy leads back to a version that was left.
        self._left = deque((version for version in self._left if version != newest), maxlen=_LEFT_VERSIONS)
        self._owed.discard(newest)
        if former and former != newest:
            self._begin(self.drop([former]))

    async def drop(self, versions: Collection[str]) -> bool:
        """See `HitCache`. What can not be deleted now is, once Redis is there again, if this process lives."""
        await self._memory.drop(versions)
        self._left.extend(versions)
        self._owed.update(versions)
        await self._tried.wait()
        return await self._pay()

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except Exception:  # a defect, here or there, must not end the trying
                    log.exception("the cache in Redis could not be looked at")
                self._tried.set()
                await asyncio.sleep(self._rest)
        finally:
            await _end(list(self._tasks))
            for redis in list(self._clients):
                await self._close(redis)

    # --- Standing -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        if self._redis is not None:
            await self._ask(lambda redis: redis.ping())
            return
        await self._connect()
        if self._owed and self._redis is not None:
            await self._pay()

    async def _connect(self) -> None:
        from redis.exceptions import RedisError

        redis = self._make()
        self._clients.add(redis)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.gather(*(redis.ping() for _ in range(CONNECTIONS)))
        except (RedisError, OSError, TimeoutError) as error:
            await self._close(redis)
            problem = problem_of(error)
            if problem != self._problem:
                log.warning("the cache in Redis can not be used; answers come without it", extra={"reason": problem})
            self._problem = problem
            self._tell("down")
            return
        self._redis, self._problem = redis, ""
        log.info("the cache in Redis is used")
        self._tell("up")

    def _fell(self, redis: "Redis", problem: str) -> None:
        """Leaves Redis alone until `run` has connected again."""
        self._tell("failed")
        if self._redis is not redis:  # another question noticed it first
            return
        self._redis, self._problem = None, problem
        log.warning("the cache in Redis can not be used; answers come without it", extra={"reason": problem})
        self._tell("down")
        self._begin(self._close(redis))

    async def _close(self, redis: "Redis") -> None:
        # What waits for one of its connections would open it again.
        await _end([task for task, asked in self._asked.items() if asked is redis])
        await close(redis)
        self._clients.discard(redis)

    # --- Asking -------------------------------------------------------------------------------------

    async def _ask(self, work: Work) -> Any | None:
        """What Redis says within the limit; None when it says nothing or refuses."""
        redis = self._redis
        if redis is None or self._asking >= _MOST_AT_ONCE:
            return None
        # A task of its own: cancelled within a command, a connection would have to be thrown away.
        task = self._begin(work(redis))
        self._asked[task] = redis
        self._asking += 1
        try:
            await asyncio.wait({task}, timeout=self._limit)
        finally:
            self._asking -= 1
        if not task.done():
            self._fell(redis, f"no answer within {self._limit:g} s")
            return None
        return self._result(redis, task)

    def _result(self, redis: "Redis", task: asyncio.Task[Any]) -> Any | None:
        from redis.exceptions import ResponseError

        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (error is not None and not isinstance(error, ResponseError)):
            self._fell(redis, problem_of(error))
            return None
        if error is None:
            self._refusing = False
            return task.result()
        # It is there and quick, and does not want to: it is full, or the name holds something else.
        self._tell("failed")
        if not self._refusing:
            log.warning("Redis refuses what the cache asks for", extra={"reason": code_of(error)})
        self._refusing = True
        return None

    def _begin(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(_done(work))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._asked.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen: whoever asked may not have waited for it

    # --- Values -------------------------------------------------------------------------------------

    async def _write(self, key: SearchKey, hits: Hits) -> None:
        data = self._values.dump_json(hits)
        if len(data) > _MOST_BYTES or key.edition.key in self._left:
            return
        await self._ask(lambda redis: redis.set(_name(key), data, ex=self._ttl))
        if key.edition.key in self._left:  # dropped while this was on its way
            await self._ask(lambda redis: redis.unlink(_name(key)))

    def _read(self, data: bytes, key: SearchKey) -> Hits | None:
        """None for what is none of ours, or of another version of kefu, or not what may be found here."""
        if len(data) > _MOST_BYTES:
            return None
        try:
            hits = self._values.validate_json(data, strict=True)
        except ValidationError:
            self._tell("failed")
            return None
        return hits if all(key.scope.holds(hit) for hit in hits) else None

    # --- Deleting -----------------------------------------------------------------------------------

    async def _pay(self) -> bool:
        """Deletes what is owed. Whether all of it is gone."""
        redis, owed = self._redis, set(self._owed)
        if redis is None:
            log.warning("passages of former versions stay in Redis until it is back or they run out")
            return False
        task = self._begin(_unlink(redis, {version_name(version) for version in owed}))
        await asyncio.wait({task}, timeout=DROP_SECONDS)
        if not task.done() or task.cancelled() or task.exception() is not None:
            error = task.exception() if task.done() and not task.cancelled() else None
            task.cancel()
            self._fell(redis, problem_of(error))
            return False
        self._owed -= owed
        return True


async def _unlink(redis: "Redis", versions: Collection[str]) -> None:
    cursor = 0
    while True:
        cursor, names = await redis.scan(cursor, match=f"{PREFIX}*", count=_SCANNED)
        if ours := [name for name in names if name[len(PREFIX) :].split(b":", 1)[0].decode() in versions]:
            await redis.unlink(*ours)
        if not cursor:
            return


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _done(work: Awaitable[Any]) -> Any:
    return await work


def _name(key: SearchKey) -> str:
    return f"{PREFIX}{version_name(key.edition.key)}:{digest_of(key)}"


@asynccontextmanager
async def open_redis_hits(
    url: str,
    *,
    ttl_seconds: int,
    tell: Tell,
    limit_seconds: float = LIMIT_SECONDS,
    rest_seconds: float = REST_SECONDS,
) -> AsyncIterator[RedisHits]:
    """Begins to connect, and waits for nothing: a Redis that is down is one that is not used yet.

    :raises KnowledgeError: kefu[redis] is not installed, or this can not be an address.
    """
    make = await asyncio.to_thread(client_maker, url)
    memory = MemoryHits(ttl_seconds=ttl_seconds, tell=tell)
    hits = await asyncio.to_thread(
        RedisHits,
        make,
        memory,
        ttl_seconds=ttl_seconds,
        tell=tell,
        limit_seconds=limit_seconds,
        rest_seconds=rest_seconds,
    )
    running = asyncio.create_task(hits.run(), name="cache")
    try:
        yield hits
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
