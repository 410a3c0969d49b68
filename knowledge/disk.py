"""What LanceDB leaves undone on a disk of this machine. Both block."""

import os
from pathlib import Path


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
