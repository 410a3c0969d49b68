"""Keeps the index whole while the bot runs: one that is lost, damaged or of an older format is made anew from the
ledger, in the background. Questions are answered meanwhile: from the version in memory, else by their words alone.

An index of another embedder is left alone: that is a decision of the operator's, and retriever and commands say so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, TypeAlias

from knowledge.errors import (
    IndexOutdatedError,
    IndexUnreadableError,
    KnowledgeError,
    SyncBusyError,
)
from knowledge.index import LANCE_ERRORS, KnowledgeIndex
from knowledge.ledger import Ledger
from knowledge.retriever import Retriever
from knowledge.rows import KnownVectors
from knowledge.schema import IndexIdentity, mismatch
from knowledge.sync import Sync
from knowledge.words import load_words

Ailment: TypeAlias = Literal["gone", "outdated", "unreadable", "behind"]

LOOK_SECONDS = 5.0
BUSY_SECONDS = 15.0
RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)
PATIENT_LOOKS = 3
"""A disk that fails for a moment must not cost hours of embedding: so often an index has to be unreadable."""

_WORDS: dict[Ailment, str] = {
    "gone": "is gone",
    "outdated": "was made by an older kefu",
    "unreadable": "can not be read",
    "behind": "is not the ledger's newest version",
}

log = logging.getLogger(__name__)

Known: TypeAlias = Callable[[], Awaitable[KnownVectors]]
"""Vectors that need no embedding."""


class Mender:
    """Looks after one index. `begin` once, then `run` for as long as the bot runs."""

    def __init__(
        self,
        index: KnowledgeIndex,
        ledger: Ledger,
        sync: Sync,
        retriever: Retriever,
        identity: IndexIdentity,
        *,
        known: Known,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._sync = sync
        self._retriever = retriever
        self._identity = identity
        self._known = known
        self._look_seconds = look_seconds
        self._ailment: Ailment | None = None
        self._unreadable = 0
        self._is_doubted = False
        self._progress = ""
        self._said = ""

    @property
    def standing(self) -> str:
        """What is wrong with the index and how questions are answered meanwhile; "" while it is whole."""
        if self._ailment is None:
            return ""
        return f"the index {_WORDS[self._ailment]} and is made anew{self._progress}; {self._retriever.stands_in_by}"

    def doubt(self) -> None:
        """Has the index read whole at the next look: somebody could not. A search in memory would never notice."""
        self._is_doubted = True

    async def begin(self) -> None:
        """Sees to it that questions can be answered, and waits for no embedding.

        :raises LedgerError: the ledger can not be read.
        :raises IndexMismatchError: the index is another embedder's, or a newer kefu's.
        """
        self._ailment = await self._look()
        if self._ailment == "behind":
            with suppress(SyncBusyError):
                self._ailment = None if await self._finished() else "behind"
        if self._ailment is None:
            try:
                await self._retriever.refresh()
            except IndexUnreadableError:
                self._ailment = "unreadable"
        if self._ailment is not None:
            await self._stand_in()

    async def run(self) -> None:
        """Mends what ails the index, and looks again, until it is cancelled."""
        failures = 0
        while True:
            pause = self._look_seconds
            try:
                await self._tend()
                failures, self._said = 0, ""
            except SyncBusyError:
                pause = min(BUSY_SECONDS, 3 * self._look_seconds)
            except KnowledgeError as error:
                pause, failures = _backoff(failures, self._look_seconds), failures + 1
                if str(error) != self._said:
                    log.error("the knowledge index can not be made anew", extra={"reason": str(error)})
                self._said = str(error)
            except Exception:  # whatever it was, it is tried again
                pause, failures = _backoff(failures, self._look_seconds), failures + 1
                log.exception("the knowledge index can not be made anew")
            await asyncio.sleep(pause)

    # --- Looking ------------------------------------------------------------------------------------

    async def _look(self) -> Ailment | None:
        head = await self._ledger.head()
        if head is None:
            return None  # there is nothing to make it from
        try:
            live = await self._index.open_live()
        except IndexOutdatedError as error:
            if isinstance(error.embedder, IndexIdentity) and error.embedder != self._identity:
                raise mismatch(error.embedder, self._identity) from error
            return "outdated"
        except IndexUnreadableError:
            return "unreadable"
        if live is None:
            return "gone"
        if live.identity != self._identity:
            return None
        return "behind" if live.stamp != head.stamp else None

    async def _tend(self) -> None:
        ailment = self._ailment or await self._what_fell_ill()
        if ailment is None:
            return
        if self._ailment is None:
            self._ailment = ailment
            await self._stand_in()
        if ailment == "unreadable" and not await self._is_past_hope():
            return
        try:
            await self._mend(ailment)
        except IndexUnreadableError:
            # Damage goes on, or looked like something else at first: a list of columns that is gone, like an old one.
            self._ailment = "unreadable"
            raise

    async def _what_fell_ill(self) -> Ailment | None:
        """Since the last look. What another process put there is followed and left as it is."""
        found = await self._look()
        if found == "behind":
            return None
        doubted, self._is_doubted = self._is_doubted or self._retriever.is_damaged, False
        return "unreadable" if found is None and doubted else found

    async def _is_past_hope(self) -> bool:
        self._unreadable += 1
        try:
            await self._retriever.reload()
        except KnowledgeError:
            return self._unreadable >= PATIENT_LOOKS
        if self._unreadable >= PATIENT_LOOKS:
            return True
        self._well()  # until a search fails on it again
        return False

    # --- Mending ------------------------------------------------------------------------------------

    async def _stand_in(self) -> None:
        """Has questions answered by their words where there is no version in memory to answer from."""
        assert self._ailment is not None
        log.warning("the knowledge index is made anew from the ledger", extra={"reason": _WORDS[self._ailment]})
        if self._ailment == "behind":
            return  # what is there can be searched
        try:
            self._retriever.stand_in(await load_words(self._ledger, self._identity))
        except (KnowledgeError, *LANCE_ERRORS) as error:
            log.warning("the knowledge can not be searched by its words either", extra={"reason": str(error)})

    async def _mend(self, ailment: Ailment) -> None:
        known = await self._known()
        await self._sync.catch_up(damaged=ailment == "unreadable", known=known, progress=self._show)
        await self._retriever.reload()
        self._unreadable = 0
        self._well()
        log.info("the knowledge index is whole again", extra={"version": self._retriever.version})

    async def _finished(self) -> bool:
        """Whether it was only a killed sync, whose rows are all there."""
        head = await self._ledger.head()
        return head is not None and await self._sync.finish(head.stamp)

    def _well(self) -> None:
        self._ailment, self._progress = None, ""
        self._retriever.stand_in(None)

    def _show(self, done: int, total: int) -> None:
        self._progress = f" ({done} of {total} passages embedded)"


def _backoff(failures: int, least: float) -> float:
    """Shorter where looks are, as in tests."""
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)] * min(1.0, least / LOOK_SECONDS)
