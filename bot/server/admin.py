"""Who may use the tickets API: whoever has the bearer token."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from bot.errors import OperatorError

FILE_NAME = "admin-token.sha256"


class AdminToken:
    """A token to compare with. Only its digest is kept: neither memory nor disk gives the token away."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    @classmethod
    def of(cls, token: str) -> AdminToken:
        return cls(_digest(token))

    def opens(self, authorization: str | None) -> bool:
        """Whether this Authorization header carries the token. Takes as long whatever it carries."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        matches = hmac.compare_digest(_digest(token.strip()), self._digest)
        return matches and scheme.lower() == "bearer"


def ensure_admin_token(configured: str, folder: Path) -> tuple[AdminToken, str | None]:
    """The token of `admin.token`, else the one made at the first start; a new one is returned in clear, this once.

    The folder keeps the digest of a made token; deleting that file makes another one at the next start. Blocking.

    :raises OperatorError: the folder can not be written, or the file is damaged.
    """
    if configured:
        return AdminToken.of(configured), None
    path = folder / FILE_NAME
    try:
        if path.exists():
            return AdminToken(_read(path)), None
        token = secrets.token_urlsafe(32)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(_digest(token).hex() + "\n")
    except FileExistsError:  # another process was faster, and has printed its token
        return AdminToken(_read(path)), None
    except OSError as error:
        raise OperatorError(f"{path}: can not be read or written: {error.strerror}") from error
    return AdminToken.of(token), token


def _read(path: Path) -> bytes:
    kept = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", kept):
        raise OperatorError(f"{path}: is damaged; delete it, and the next start makes a new admin token")
    return bytes.fromhex(kept)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
