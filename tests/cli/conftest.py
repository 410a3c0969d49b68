from pathlib import Path

import pytest

from tests.cli.house import Kefu, kefu_with


@pytest.fixture
def kefu(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kefu:
    """`kefu`, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return kefu_with(capsys)
