"""Questions to vectors without holding up the event loop."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from knowledge.cache import LruCache
from knowledge.chunking import estimate_tokens
from knowledge.embedders.base import Embedder, Vector
from knowledge.embedders.common import usable_cores

# A question embeds in half a millisecond a token. Past this, a pasted letter would keep a core busy for
# seconds; its beginning and its end say what it is about.
MAX_QUESTION_TOKENS = 160

_CACHED_VECTORS = 2048  # 1.5 to 4 KB each
_MAX_THREADS = 4


class QueryEncoder:
    """Threads of its own embed, so that questions do not queue behind other work in the shared pool.
    What piles up is shared out among them, in batches for the models that gain from it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._threads = min(_MAX_THREADS, usable_cores())
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="knowledge-embed")
        self._vectors: LruCache[str, Vector] = LruCache(_CACHED_VECTORS)
        self._waiting: deque[tuple[str, asyncio.Future[Vector]]] = deque()
        self._pending: dict[str, asyncio.Future[Vector]] = {}
        self._workers: set[asyncio.Task[None]] = set()

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
        begun = self.begin(text)
        # Several may wait for one question; one that gives up leaves it to the others.
        return await asyncio.shield(begun) if isinstance(begun, asyncio.Future) else begun

    def begin(self, text: str) -> Vector | asyncio.Future[Vector]:
        """The question's vector, where it was asked lately; where not, a thread begins to make it."""
        question = self.prepare(text)
        vector = self._vectors.get(question)
        if vector is not None:
            return vector
        future = self._pending.get(question)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._pending[question] = future
            self._waiting.append((question, future))
            if len(self._workers) < self._threads:
                self._workers.add(asyncio.create_task(self._work()))
        return future

    async def encode_all(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), dimension)."""
        questions = [self.prepare(text) for text in texts]
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._embedder.embed, questions, "query")

    async def close(self) -> None:
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for future in self._pending.values():
            future.cancel()
        # At most one batch a thread is under way: .1 s.
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._embed(self._next_batch())
        finally:
            # Here, with nothing awaited since the last look at the queue: in a callback it would come
            # too late for a question that arrives in between and counts on this worker.
            task = asyncio.current_task()
            assert task is not None
            self._workers.discard(task)

    def _next_batch(self) -> list[tuple[str, asyncio.Future[Vector]]]:
        """This thread's share of what waits. Long questions go alone, so that no short one waits for them twice."""
        share = -(-len(self._waiting) // self._threads)
        batch = [self._waiting.popleft()]
        tokens = estimate_tokens(batch[0][0])
        while len(batch) < min(self._embedder.questions_at_once, share):
            tokens += estimate_tokens(self._waiting[0][0])
            if tokens > MAX_QUESTION_TOKENS:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _embed(self, batch: list[tuple[str, asyncio.Future[Vector]]]) -> None:
        questions = [question for question, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            vectors = await loop.run_in_executor(self._pool, self._embedder.embed, questions, "query")
        except Exception as error:  # noqa: BLE001 - whatever the embedder raises is its callers' to see
            self._settle(batch, error)
        else:
            self._settle(batch, vectors)

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
