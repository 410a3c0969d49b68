from pathlib import Path

import pytest

from bot.errors import OperatorError
from bot.server.admin import FILE_NAME, ensure_admin_token


def test_a_made_token_is_shown_once_and_never_kept_in_clear(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    admin, token = ensure_admin_token("", folder)
    assert token is not None and len(token) >= 40
    again, nothing = ensure_admin_token("", folder)
    assert nothing is None
    for one in (admin, again):
        assert one.opens(f"Bearer {token}")
        assert not one.opens(f"Bearer {token[1:]}")
    kept = folder / FILE_NAME
    assert token not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    assert token not in repr(admin)


def test_a_configured_token_leaves_nothing_behind(tmp_path: Path) -> None:
    admin, shown = ensure_admin_token("of-the-company", tmp_path)
    assert shown is None
    assert admin.opens("bearer of-the-company")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_token_file_is_one_line_for_the_operator(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("\u00e9")
    with pytest.raises(OperatorError, match="delete it"):
        ensure_admin_token("", tmp_path)
