"""docs/configuration.md against the settings themselves."""

import re
from pathlib import Path

import pytest

from bot.cli.init import described
from bot.errors import SettingsError
from bot.settings import load_settings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_page_lists_every_key_with_its_default_and_no_other() -> None:
    listed = {}
    section = ""
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"## `\[(\w+)\]`", line):
            section = heading[1]
        elif row := re.fullmatch(r"\| `(\w+)` \| `(.*)` \| (.+) \|", line):
            listed[section, row[1]] = row[2]
    wanted = {(key.section, key.name): key.default for _, _, keys in described() for key in keys}
    assert listed == wanted


def test_the_examples_of_mistakes_are_what_is_really_said() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {"KEFU_TELEGRAM__TOKE": "x"})
    assert f"kefu: {refused.value}\n" in PAGE
