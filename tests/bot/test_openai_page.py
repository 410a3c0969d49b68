"""docs/openai.md against the settings."""

import re
from pathlib import Path

import pytest

from bot.engine.openai_server import Patience
from bot.settings import load_settings

PAGE = (Path(__file__).parents[2] / "docs" / "openai.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_can_be_used_as_they_are(example: str, tmp_path: Path) -> None:
    (tmp_path / "kefu.toml").write_text(example, encoding="utf-8")
    model = load_settings(tmp_path / "kefu.toml", {}).model
    assert model.backend == "openai" and model.base_url.endswith("/v1")


def test_the_waits_are_those_of_the_code() -> None:
    patience = Patience()
    assert f"silence: {patience.first:g} s to the first sign, {patience.silence:g} s between two" in PAGE
    assert f"probed every {patience.probe_while_down:g} s" in PAGE
    assert f"waits up to {patience.slot:g} s for its place" in PAGE
