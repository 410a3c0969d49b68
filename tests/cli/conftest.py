import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.house import Kefu, kefu_with


@pytest.fixture
def kefu(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kefu]:
    """`kefu`, in an empty folder of its own. What it does to this process's logging is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield kefu_with(capsys)
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)
