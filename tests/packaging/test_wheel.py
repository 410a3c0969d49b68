"""The wheel: all that the product needs, nothing else, and it answers from an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Installation

PACKAGES = ("bot", "adapters", "knowledge", "migrations")
KINDS_OF_DATA = [
    "bot/py.typed",
    "bot/dialogue/intents.toml",
    "adapters/web/page/*.html",
    "adapters/web/page/*.js",
    "adapters/web/page/*.css",
    "knowledge/samples/shop/*.csv",
    "knowledge/samples/shop/*.md",
    "knowledge/samples/internal/*.csv",
    "migrations/versions/*.py",
]


def _in_the_packages() -> set[str]:
    """Every file of the packages in the checkout, as the wheel should name it."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("kefu-")}
    assert names == _in_the_packages()


@pytest.mark.parametrize("pattern", KINDS_OF_DATA)
def test_the_wheel_holds_data(wheel: Path, pattern: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if Path(name).match(pattern)]


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True, timeout=100)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        # Pythons before 3.11.4 do not know the filter and ignore the attribute.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    (unpacked,) = tmp_path.glob("kefu-*/")
    subprocess.run([*build, "wheel"], cwd=unpacked, check=True, capture_output=True, timeout=100)
    (rebuilt,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(rebuilt) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_kefu_is_imported_from_the_wheel(installation: Installation, tmp_path: Path) -> None:
    script = f"import {', '.join(PACKAGES)}; print(*[p.__file__ for p in ({', '.join(PACKAGES)})], sep='\\n')"
    done = installation.run("python", "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [Path(line).is_relative_to(installation.folder) for line in done.stdout.splitlines()] == [True] * 4


def test_a_fresh_installation_answers_from_an_empty_folder(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("kefu", "chat", "--once", "密码忘了怎么办", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "answered"
    assert "忘记密码" in answer["response"]
    assert "验证码" in answer["response"]
    assert "account-forgot-password" in answer["sources"][0]["id"]
    assert answer["sources"][0]["title"] == "忘记密码了怎么办？"
    assert answer["ticket"] is None
