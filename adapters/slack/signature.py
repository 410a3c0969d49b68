"""Whether a call is Slack's: version 0 of its signatures, over bytes.

slack_sdk's verifier raises on a timestamp that is no number and on a signature beyond ASCII, which would answer a
forger with a 500; it also takes text, so that a body which is no UTF-8 has to be guessed at before it is verified.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
SIGNATURE_HEADER = "X-Slack-Signature"
WINDOW = 300
"""Seconds a call may be old, or early. Inside it a replay has no effect: every message is taken once."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What Slack writes into `X-Slack-Signature`."""
    return "v0=" + hmac.new(secret, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def verified(secret: bytes, timestamps: Sequence[str], signatures: Sequence[str], body: bytes, *, now: float) -> bool:
    """Never raises, whatever stands there.

    :param timestamps: every value of its header; anything but one is refused, for which of two would be the true one?
    :param now: the time of day, in seconds since 1970.
    """
    if not secret or len(timestamps) != 1 or len(signatures) != 1:
        return False
    [timestamp], [shown] = timestamps, signatures
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(shown):
        return False
    if abs(now - int(timestamp)) > WINDOW:
        return False
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), shown.encode())
