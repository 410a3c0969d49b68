"""Documents of other programs (PDF, Office, HTML) turned into text, by a process that can not hurt this one."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

CONVERTED = frozenset({".pdf", ".docx", ".xlsx", ".pptx", ".html", ".htm"})

_WORKER = Path(__file__).with_name("worker.py")
_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_START_SECONDS = 120.0
# A reply is JSON in ASCII: six bytes a character at most.
_LONGEST_REPLY = 64 * 1024 * 1024


class RefusedError(Exception):
    """The document is not taken; `str()` is one line that says why and holds nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionLimits:
    """What one document may take."""

    seconds: float = 10.0
    """Of a processor, and five times that by the clock."""

    page_seconds: float = 0.25
    """So much more for each page of a PDF."""

    pages: int = 1000
    """Of a PDF."""

    memory: int = 384 * 1024 * 1024
    """Beyond what the reader itself needs."""

    unpacked: int = 128 * 1024 * 1024
    """What the parts of an Office file may add up to."""

    characters: int = 8_000_000


class Converter:
    """Converts one document after another. Blocks: call it in a thread; `close` may come from another one and ends a
    conversion that is under way. The process starts with the first document."""

    def __init__(self, limits: ConversionLimits | None = None) -> None:
        self._limits = limits or ConversionLimits()
        self._process: subprocess.Popen[bytes] | None = None
        # One document at a time; and only who has the turn may close what it reads from.
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._closed = False

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def convert(self, suffix: str, data: bytes) -> Mapping[str, Any]:
        """What the worker found in a document of this kind; see `knowledge.documents.converted`.

        Raises RefusedError.
        """
        with self._turn:
            return self._convert(suffix, data)

    def _convert(self, suffix: str, data: bytes) -> Mapping[str, Any]:
        process = self._running()
        # The worker keeps the limits; this one is for a worker that does not.
        seconds = 10 * (self._limits.seconds + self._limits.page_seconds * self._limits.pages)
        try:
            request = json.dumps({"suffix": suffix, "size": len(data)}).encode() + b"\n" + data
            _write(_end(process.stdin), request, seconds)
            found = _read_reply(_end(process.stdout), seconds)
        except (OSError, EOFError, ValueError):
            self._stop(process)
            raise RefusedError("breaks its reader") from None
        except TimeoutError:
            self._stop(process)
            raise RefusedError("takes too long to read; split it") from None
        if "refused" in found:
            raise RefusedError(str(found["refused"]))
        return found

    def close(self) -> None:
        """Ends the process. Nothing is converted after this."""
        with self._guard:
            self._closed = True
            process = self._process
        if process is not None:
            _kill(process)
            with self._turn:
                self._stop(process)

    def _running(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._closed:
                raise RefusedError("was not read: the sync was stopped")
            if self._process is not None:
                return self._process
            self._process = process = subprocess.Popen(  # noqa: S603 - this Python, a script of ours
                # Isolated, and without our environment: it needs no setting, and secrets are among them.
                [sys.executable, "-I", str(_WORKER), json.dumps(asdict(self._limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        try:
            found = _read_reply(_end(process.stdout), _START_SECONDS)
        except (OSError, EOFError, ValueError, TimeoutError):
            self._stop(process)
            raise RefusedError("can not be read: the reader of documents does not start") from None
        if "missing" in found:
            self._stop(process)
            raise RefusedError('can not be read without the readers of documents: pip install "kefu[docs]"')
        return process

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        with self._guard:
            if self._process is process:
                self._process = None
        _kill(process)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        # Its session: the child that holds the document too. Not yet waited for, so the number is still its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(stream: IO[bytes] | None) -> int:
    assert stream is not None
    return stream.fileno()


def _write(descriptor: int, data: bytes, seconds: float) -> None:
    os.set_blocking(descriptor, False)
    deadline = time.monotonic() + seconds
    view = memoryview(data)
    while view:
        _wait(descriptor, selectors.EVENT_WRITE, deadline)
        view = view[os.write(descriptor, view[:65536]) :]


def _read_reply(descriptor: int, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    size = int.from_bytes(_read(descriptor, 8, deadline), "big")
    if size > _LONGEST_REPLY:
        raise EOFError
    found = json.loads(_read(descriptor, size, deadline))
    if not isinstance(found, dict):
        raise EOFError
    return found


def _read(descriptor: int, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        _wait(descriptor, selectors.EVENT_READ, deadline)
        part = os.read(descriptor, min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
