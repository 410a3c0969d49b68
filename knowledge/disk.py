"""What LanceDB leaves undone on a disk of this machine, and what tells that a file is another one. All of it blocks."""

import errno
import os
import stat
from pathlib import Path

Signature = tuple[int, int, int]
"""Of a file: when it was written, its length, its number."""


def signature_of(path: Path) -> Signature:
    """Another one as soon as the file is written again. Raises OSError: there is none, or it is no plain file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError(errno.EINVAL, "is no file")
    return status.st_mtime_ns, status.st_size, status.st_ino


def fsync_tree(root: Path) -> None:
    """Forces a folder, everything in it and its own name to the disk."""
    for folder, _, names in os.walk(root, topdown=False):
        for path in [*(Path(folder, name) for name in names), Path(folder)]:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    descriptor = os.open(root.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(root: Path) -> None:
    """Files that a killed writer had begun. LanceDB renames them when they are whole, and forgets them otherwise."""
    for path in root.rglob(".tmp*"):
        path.unlink(missing_ok=True)
