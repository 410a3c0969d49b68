"""Calling `kefu` inside the test's own process: what it prints, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from bot.cli import main


@dataclass(frozen=True)
class Called:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Kefu: TypeAlias = Callable[..., Called]


def kefu_with(capsys: pytest.CaptureFixture[str]) -> Kefu:
    def kefu(*arguments: str) -> Called:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        code = left.value.code
        return Called(status=code if isinstance(code, int) else 0, out=captured.out, err=captured.err)

    return kefu
