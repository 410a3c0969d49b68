"""What the embedders share."""

import hashlib
import os
from pathlib import Path

from knowledge.errors import EmbedderError

_BLOCK = 1 << 20


def usable_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def clean_for_model(text: str) -> str:
    """NUL bytes end a text in C, and a lone surrogate has no UTF-8: both become something harmless."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def verify_file(path: Path, sha256: str) -> None:
    """Raises EmbedderError when the file is missing or its SHA-256 is another."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise EmbedderError(f"the embedder's weights {path.name} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise EmbedderError(
            f"the embedder's weights {path.name} are not the ones this version was made for; "
            "install the pinned version of its package again"
        )
