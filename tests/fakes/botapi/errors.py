"""What the fake answers when it refuses, in the Bot API's own form."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """`{"ok": false, …}` with this status; the description is complete, prefix included."""

    def __init__(self, code: int, description: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


class BadRequest(ApiError):
    """400; `words` are what stands behind "Bad Request: "."""

    def __init__(self, words: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(400, f"Bad Request: {words}", parameters)


class Forbidden(ApiError):
    """403; `words` are what stands behind "Forbidden: "."""

    def __init__(self, words: str) -> None:
        super().__init__(403, f"Forbidden: {words}")


def too_many(retry_after: float) -> ApiError:
    """429 as Telegram writes it."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
