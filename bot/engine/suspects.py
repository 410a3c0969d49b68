"""Questions that were being answered when the engine died."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from bot.ports import Clock

DEATHS = 2
"""One may be chance: whoever was being answered just then is there. Who is there again is the reason."""
MEMORY_SECONDS = 3600.0
MOST = 1000


class Suspects:
    """Remembers them for an hour, as digests: one question must not take the engine down again and again, whoever asks
    it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deaths: OrderedDict[bytes, tuple[frozenset[int], float]] = OrderedDict()
        """By question: the lives of the engine whose end it saw, and when it last saw one."""

    def saw_it_die(self, question: str, life: int) -> None:
        """The engine died in this life of its while it answered this, perhaps to several customers."""
        key = _key(question)
        self._deaths[key] = (self._known(key) | {life}, self._clock.monotonic())
        self._deaths.move_to_end(key)
        if len(self._deaths) > MOST:
            self._deaths.popitem(last=False)

    def condemned(self, question: str) -> bool:
        """Whether the engine must not be asked this."""
        return len(self._known(_key(question))) >= DEATHS

    def _known(self, key: bytes) -> frozenset[int]:
        lives, last = self._deaths.get(key, (frozenset(), 0.0))
        return lives if self._clock.monotonic() - last < MEMORY_SECONDS else frozenset()


def _key(question: str) -> bytes:
    return hashlib.blake2b(question.strip().encode(errors="replace"), digest_size=16).digest()
