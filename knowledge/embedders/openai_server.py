"""`openai:<model>`: a server that speaks OpenAI's `/embeddings` (vLLM, TEI, Infinity, Ollama, OpenAI itself).

What it answers is believed only where it fits: a vector for each text, in an order it names, all of one length, all
numbers finite. Anything else is an error, never a vector of the wrong text.
"""

import json
import math
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import numpy as np

from knowledge.chunking import estimate_all
from knowledge.embedders.base import Kind, Vector
from knowledge.embedders.common import clean_for_model, normalized
from knowledge.errors import EmbedderAwayError, EmbedderError

_TEXTS_AT_ONCE = 64
_BYTES_AT_ONCE = 128 * 1024
_MAX_ANSWER_BYTES = 64 * 1024 * 1024  # 64 vectors of 4,096 numbers are 6 MB
_SHORTEST = 200
"""Characters under which a text is not made shorter when the server does not take it: it is about something else."""

_WINDOW = 512
"""Unknown; that of most small models, so that a passage fits into any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited, in seconds. A customer waits for a question, and nobody for a passage."""

    connect: float = 5.0
    question: float = 10.0
    """For a question's vector altogether, repetitions included."""

    passages: float = 180.0
    """For one request's worth of passages altogether, repetitions included."""

    rest: float = 0.5
    """Before the first repetition; doubled before each further one, and whatever the server asks for."""


class _Failed(Exception):
    """The request may do better later, or shorter; what is said to the operator is its text."""

    def __init__(self, reason: str, *, retry: bool = False, rest: float = 0.0, too_long: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry
        self.rest = rest
        self.too_long = too_long

    def told(self) -> EmbedderError:
        """What callers get: one line."""
        return EmbedderAwayError(str(self)) if self.retry else EmbedderError(str(self))


class OpenAIEmbedder:
    """Questions and passages are sent alike: the protocol does not tell them apart."""

    def __init__(self, model: str, *, url: str, key: str, patience: Patience | None = None) -> None:
        """Asks the server for one vector, to learn how long they are.

        Raises EmbedderError when there is no address or the server does not give that one, EmbedderAwayError where it
        may give it later.
        """
        if not model or not url:
            raise EmbedderError(
                "knowledge.embedder: openai:<model> needs the model's name, and the server's address in "
                "knowledge.embedder_url (or model.base_url)"
            )
        self._model = model
        self._url = f"{url.rstrip('/')}/embeddings"
        self._patience = patience or Patience()
        self._closed = threading.Event()
        self._client = httpx.Client(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx.Timeout(self._patience.passages, connect=self._patience.connect),
            # The system's certificates, as for the model server; a redirect would take key and texts elsewhere.
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
        )
        try:
            self._dimension: int = self._ask(["kefu"], self._patience.question).shape[1]
        except _Failed as error:
            self._client.close()
            raise error.told() from None

    @property
    def name(self) -> str:
        # Without the server's address: the same model on another machine, or behind another name, gives the same
        # vectors, and a move must not cost an embedding of everything.
        return f"openai:{self._model}"

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def questions_at_once(self) -> int:
        return 16

    @property
    def window(self) -> int:
        return _WINDOW

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimate_all(texts)

    def close(self) -> None:
        self._closed.set()
        self._client.close()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vector:
        seconds = self._patience.question if kind == "query" else self._patience.passages
        # Servers refuse the empty text.
        cleaned = [clean_for_model(text).strip() or "." for text in texts]
        parts = [np.empty((0, self._dimension), dtype=np.float32)]
        try:
            parts += [self._embed(batch, seconds) for batch in _batches(cleaned)]
        except _Failed as error:
            raise error.told() from None
        return np.concatenate(parts)

    def _embed(self, texts: list[str], seconds: float) -> Vector:
        """For one text that is too long a server refuses them all; that one is embedded by its beginning."""
        try:
            vectors = self._ask(texts, seconds)
        except _Failed as error:
            if not error.too_long or (len(texts) == 1 and len(texts[0]) <= _SHORTEST):
                raise
            if len(texts) == 1:
                return self._embed([texts[0][: len(texts[0]) // 2]], seconds)
            half = len(texts) // 2
            return np.concatenate([self._embed(texts[:half], seconds), self._embed(texts[half:], seconds)])
        if vectors.shape[1] != self._dimension:
            raise _Failed(
                f"the embeddings server gives {vectors.shape[1]} dimensions where it gave {self._dimension}: "
                "its model was exchanged; restart, and run `kefu knowledge rebuild`"
            )
        return vectors

    def _ask(self, texts: list[str], seconds: float) -> Vector:
        """One request, repeated while that may help and there is time."""
        deadline = time.monotonic() + seconds
        rest = self._patience.rest
        while True:
            try:
                return _vectors(self._post(texts, deadline), len(texts))
            except _Failed as error:
                wait = max(rest, error.rest)
                if not error.retry or time.monotonic() + wait >= deadline:
                    raise
            # Ends with `close`, too: nobody waits for a vector then.
            if self._closed.wait(wait):
                raise _Failed("the connection to the embeddings server is closed")
            rest *= 2

    def _post(self, texts: list[str], deadline: float) -> bytes:
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        try:
            with self._client.stream("POST", self._url, json=body, timeout=self._timeout(deadline)) as response:
                if response.status_code != 200:
                    raise _refusal(response.status_code, response.headers.get("Retry-After", ""))
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise _Failed("the embeddings server answers without an end")
                    if time.monotonic() > deadline:
                        raise _Failed("the embeddings server takes too long")
                return bytes(answer)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            reason = "the embeddings server can not be reached: look at knowledge.embedder_url"
            raise _Failed(reason, retry=True) from None
        except httpx.TimeoutException:
            raise _Failed("the embeddings server takes too long", retry=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, RuntimeError) as error:
            # The kind only: the library's words may hold the address with what an operator put into it.
            reason = f"the connection to the embeddings server broke ({type(error).__name__})"
            raise _Failed(reason, retry=isinstance(error, httpx.TransportError)) from None

    def _timeout(self, deadline: float) -> httpx.Timeout:
        left = max(0.001, deadline - time.monotonic())
        return httpx.Timeout(left, connect=min(left, self._patience.connect))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """What goes into one request: bounded in number, and in bytes unless a single text is longer."""
    batch: list[str] = []
    length = 0
    for text in texts:
        size = len(text.encode())
        if batch and (len(batch) == _TEXTS_AT_ONCE or length + size > _BYTES_AT_ONCE):
            yield batch
            batch, length = [], 0
        batch.append(text)
        length += size
    if batch:
        yield batch


def _refusal(status: int, retry_after: str) -> _Failed:
    """The server's own words are left out: they may quote what people wrote."""
    match status:
        case 401 | 403:
            return _Failed(
                f"the embeddings server refuses the key ({status}): look at knowledge.embedder_key (or model.api_key)"
            )
        case 404:
            return _Failed(
                "the embeddings server knows no such model or address: look at knowledge.embedder and "
                "knowledge.embedder_url"
            )
        case 400 | 413 | 422:
            return _Failed(
                f"the embeddings server does not take the request ({status}): is it a model for embeddings?",
                too_long=True,
            )
        case 429:
            reason = "the embeddings server has too much to do (429)"
            return _Failed(reason, retry=True, rest=_seconds(retry_after))
        case _ if 300 <= status < 400:
            return _Failed(f"the embeddings server is somewhere else ({status}): look at knowledge.embedder_url")
        case _:
            reason = f"the embeddings server fails with status {status}"
            return _Failed(reason, retry=status == 408 or status >= 500, rest=_seconds(retry_after))


def _seconds(retry_after: str) -> float:
    """How long the server asks to be left alone: a number of seconds or a date; 0 where it says nothing readable."""
    try:
        wanted = float(retry_after)
    except ValueError:
        try:
            wanted = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return max(0.0, wanted) if math.isfinite(wanted) else 0.0


def _vectors(answer: bytes, count: int) -> Vector:
    """One row a text, in the texts' order. Raises _Failed for anything that is not exactly that."""
    try:
        rows = _rows(json.loads(answer), count)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise _Failed("what answers at knowledge.embedder_url gives no embeddings: its answer is another") from None
    if not np.isfinite(rows).all() or not np.linalg.norm(rows, axis=1).all():
        raise _Failed("the embeddings server gives vectors that are none: zeros, or numbers without an end")
    return normalized(rows)


def _rows(answer: Any, count: int) -> Any:
    data = {item["index"]: item["embedding"] for item in answer["data"]}
    if len(answer["data"]) != count or data.keys() != set(range(count)) or True in map(_is_flag, data):
        raise ValueError("other texts than were sent")
    rows = np.asarray([data[place] for place in range(count)])
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or not rows.shape[1]:
        raise ValueError("no numbers, or not as many each")
    return rows.astype(np.float64)


def _is_flag(index: object) -> bool:
    """JSON's `true` is 1 to Python."""
    return isinstance(index, bool)
