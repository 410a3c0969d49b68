"""One writer at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knowledge.errors import SyncBusyError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds `path` locked against other processes and other holders in this one; the kernel lets go
    when the process dies, however it dies. Blocks only for disk work, never for the lock.

    Raises SyncBusyError when another holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            who = f" (process {holder})" if holder else ""
            raise SyncBusyError(f"another sync of this knowledge is running{who}; try again when it is done") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        # The file stays: removing it would let a third process lock a file that nobody else sees.
        os.close(descriptor)
