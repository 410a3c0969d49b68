"""The wheel as it would be published, and an environment that has kefu from it and from nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """kefu, installed from the wheel."""

    folder: Path
    """Of the virtual environment."""

    def run(
        self, *command: str, cwd: Path, environ: Mapping[str, str] | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of this environment as a person without settings of their own would, in the folder `cwd`."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environ(cwd) | dict(environ or {}),
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )

    def environ(self, home: Path) -> dict[str, str]:
        """An almost empty environment in which `kefu` and `python` are this installation's."""
        return {"PATH": f"{self.folder / 'bin'}:{os.defpath}", "HOME": str(home)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend that pyproject.toml names, which is installed with the tests; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    _check(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An empty environment with the wheel in it. The dependencies are those of the running tests, behind it on the
    path: a folder that a .pth file adds is not searched for further .pth files, so the editable kefu among them stays
    unseen."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    _check(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(folder / "bin" / "python")
    _check(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installation(folder=folder)


def _check(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert done.returncode == 0, done.stderr
