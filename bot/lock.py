"""One `kefu run` a data folder: two would both poll Telegram and both answer."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import AlreadyRunning, SettingsError


@contextmanager
def only_process(path: Path | None) -> Iterator[None]:
    """Holds the lock beside this database file; None (a server's database) locks nothing.

    The kernel lets go of it however the process ends, so a kill -9 leaves nothing to clean up.

    :raises AlreadyRunning: another process holds it.
    """
    if path is None:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"database.url: {lock.parent} can not be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunning(f"another kefu runs on {path}; stop it first, or give this one a database.url") from error
    try:
        yield
    finally:
        os.close(descriptor)
