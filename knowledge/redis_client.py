"""A client of Redis that gives up early, and what went wrong with it in our own words.

Everything of the library's is imported when it is used: it is an extra.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from knowledge.errors import KnowledgeError

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECT_SECONDS = 2.0
CONNECTIONS = 4
"""A command takes a tenth of a millisecond there. All are opened at once, so that no question waits for a handshake."""

log = logging.getLogger(__name__)


def client_maker(url: str) -> Callable[[], "Redis"]:
    """Makes clients that have not connected yet. Reads the disk.

    :raises KnowledgeError: kefu[redis] is not installed, or this can not be an address.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise KnowledgeError('cache.url is a Redis, and redis is not installed: pip install "kefu[redis]"') from error

    def make() -> "Redis":
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # finding out its own version reads the disk for each connection
            protocol=2,  # newer ones have the server push messages, which nobody here reads
        )
        return Redis.from_pool(pool)

    try:
        make()
    except ValueError as error:
        # Not its words: they may quote the address.
        raise KnowledgeError("cache.url can not be the address of a Redis") from error
    return make


async def close(redis: "Redis") -> None:
    """Ends its connections; what waits for an answer on one is told that it is gone."""
    from redis.exceptions import RedisError

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await redis.aclose()
    except (RedisError, OSError, TimeoutError) as error:
        log.debug("a connection to Redis did not end well", extra={"kind": type(error).__name__})


def problem_of(error: BaseException | None) -> str:
    """In our words: what the library says may quote the address, and with it a password."""
    from redis.exceptions import AuthenticationError, BusyLoadingError
    from redis.exceptions import TimeoutError as RedisTimeout

    match error:
        case AuthenticationError():
            return "the user or the password is refused"
        case BusyLoadingError():
            return "it is loading its data"
        case TimeoutError() | RedisTimeout() | None:
            return "no answer in time"
        case ConnectionRefusedError():
            return "nobody listens there"
    return f"the connection fails ({type(error).__name__})"


def code_of(error: BaseException) -> str:
    """The first word of what Redis says (OOM, READONLY, NOPERM, WRONGTYPE), which never quotes a value."""
    word = str(error).split(" ", 1)[0]
    return word if word.isalpha() and word.isupper() else type(error).__name__
