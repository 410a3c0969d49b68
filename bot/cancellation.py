"""Cancellation that must not get lost."""

from __future__ import annotations

import asyncio


def is_cancelled() -> bool:
    """Whether the running task has been asked to end.

    Loops that survive every error ask before they go on: until Python 3.13 a TaskGroup whose body fails while its task
    is being cancelled raises the failure and forgets the cancellation.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
