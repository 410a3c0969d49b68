"""What the fake answers when it refuses, in Slack's own codes."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """`{"ok": false, "error": …}`; HTTP 200 as with Slack, except for 429."""

    def __init__(self, error: str, *, messages: tuple[str, ...] = (), **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.fields = fields
        if messages:
            self.fields["response_metadata"] = {"messages": list(messages)}


class RateLimited(Refused):
    """HTTP 429 with `Retry-After`; None leaves the header out, as broken proxies do."""

    def __init__(self, retry_after: int | float | str | None) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


def invalid_arguments(*messages: str) -> Refused:
    """Slack's answer to arguments that are missing or of the wrong kind."""
    return Refused("invalid_arguments", messages=tuple(f"[ERROR] {message}" for message in messages))
