"""Questions to vectors without holding up the event loop."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from knowledge.cache import LruCache
from knowledge.chunking import estimate_tokens
from knowledge.embedders.base import Embedder, Vector

# A question embeds in a millisecond a token. Past this, a pasted letter would keep a core busy for
# seconds; its beginning and its end say what it is about.
MAX_QUESTION_TOKENS = 160

_CACHED_VECTORS = 2048  # 1.5 to 4 KB each
_BATCH = 8


class QueryEncoder:
    """One thread of its own embeds, so that questions neither queue behind other work in the shared
    pool nor fight each other for the cores; what piles up meanwhile goes in one batch."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge-embed")
        self._vectors: LruCache[str, Vector] = LruCache(_CACHED_VECTORS)
        self._waiting: deque[tuple[str, asyncio.Future[Vector]]] = deque()
        self._pending: dict[str, asyncio.Future[Vector]] = {}
        self._worker: asyncio.Task[None] | None = None

    @staticmethod
    def prepare(text: str) -> str:
        """What of a question is searched for: blanks made single, a very long text made its two ends."""
        question = " ".join(text.split())
        tokens = estimate_tokens(question)
        if tokens <= MAX_QUESTION_TOKENS:
            return question
        half = max(1, len(question) * MAX_QUESTION_TOKENS // tokens // 2)
        return f"{question[:half]} … {question[-half:]}"

    async def encode(self, text: str) -> Vector:
        """Shape (dimension,), length 1."""
        question = self.prepare(text)
        vector = self._vectors.get(question)
        if vector is not None:
            return vector
        future = self._pending.get(question)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._pending[question] = future
            self._waiting.append((question, future))
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
        # Several may wait for one question; one that gives up leaves it to the others.
        return await asyncio.shield(future)

    async def encode_all(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), dimension)."""
        questions = [self.prepare(text) for text in texts]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embedder.embed, questions, "query")

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for future in self._pending.values():
            future.cancel()
        # At most one batch is under way: .2 s.
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                questions = [question for question, _ in batch]
                try:
                    vectors = await loop.run_in_executor(self._thread, self._embedder.embed, questions, "query")
                except Exception as error:  # noqa: BLE001 - whatever the embedder raises is its callers' to see
                    self._settle(batch, error)
                else:
                    self._settle(batch, vectors)
        finally:
            self._worker = None

    def _settle(self, batch: list[tuple[str, asyncio.Future[Vector]]], outcome: Vector | Exception) -> None:
        for row, (question, future) in enumerate(batch):
            self._pending.pop(question, None)
            if isinstance(outcome, Exception):
                if not future.cancelled():
                    future.set_exception(outcome)
                    future.exception()  # seen: whoever waited may have left
                continue
            # A copy: a view would keep the whole batch alive in the cache.
            vector = outcome[row].copy()
            vector.setflags(write=False)
            self._vectors.put(question, vector)
            if not future.cancelled():
                future.set_result(vector)
