"""One `kefu run` a data folder: two would both poll Telegram and both answer."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bot.errors import AlreadyRunning, SettingsError


def hold(path: Path) -> int:
    """Takes the lock beside this database file and returns its descriptor; closing that lets go of it.

    So does the kernel, however the process ends: a kill -9 leaves nothing to clean up. Blocking.

    :raises AlreadyRunning: another process holds it.
    :raises SettingsError: the folder can not be written.
    """
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
    return descriptor
