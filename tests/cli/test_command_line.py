"""What every command has in common: help, configuration, and how things that go wrong look."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import click
import pytest

import bot.cli
from bot.cli import _COMMANDS
from bot.cli import kefu as group
from bot.errors import NotFound, OperatorError, StoreUnavailable
from knowledge.errors import SourceError
from tests.cli.house import Kefu


def run(*command: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-P", "-c", "from bot.cli import main; main()", *command],
        cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip


def test_help_names_every_command_and_says_what_each_says_itself(kefu: Kefu) -> None:
    called = kefu("--help")
    assert called.status == 0
    context = click.Context(group)
    for name, (_, line) in _COMMANDS.items():
        assert f"  {name} " in called.out
        command = group.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == line


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys\nfrom bot.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "{'pydantic', 'sqlalchemy', 'aiohttp', 'numpy', 'lancedb', 'telegram'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print('heavy:', sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("heavy: []\n"), done.stdout[-300:] + done.stderr


def leaves(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*path, name))]
    return [(path, command)]


def test_every_command_takes_a_configuration() -> None:
    context = click.Context(group)
    for name in _COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for path, leaf in leaves(command, (name,)):
            assert "config_file" in [parameter.name for parameter in leaf.params], path
            assert leaf.help, path


@pytest.mark.parametrize("position", ["before", "after"])
def test_the_configuration_is_named_before_or_after_the_command(kefu: Kefu, tmp_path: Path, position: str) -> None:
    (tmp_path / "a.toml").write_text("[htp]")
    command = ["--config", "a.toml", "db", "check"] if position == "before" else ["db", "check", "--config", "a.toml"]
    called = kefu(*command)
    assert (called.status, called.out) == (2, "")
    assert called.err == 'kefu: a.toml:1: there is no section htp; did you mean "http"?\n'


def test_functions_that_can_not_be_imported_stop_the_start_in_one_line(tmp_path: Path) -> None:
    environ = {"KEFU_FUNCTIONS__MODULES": '["acme_functions.orders"]', "PYTHONPATH": str(Path(bot.__file__).parents[1])}
    done = run("chat", "--once", "hi", cwd=tmp_path, env=environ)
    line = "functions.modules: acme_functions.orders can not be imported: No module named 'acme_functions'"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"kefu: {line}\n")
    assert not (tmp_path / "data").exists()


def test_a_command_that_does_not_exist_is_a_usage_error(kefu: Kefu) -> None:
    assert kefu("dance").status == 2


NESTED = ExceptionGroup("g", [ValueError("x"), ExceptionGroup("h", [OperatorError("use another port")])])


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `kefu db check` fail with what the test wants."""

    def fail_with(error: BaseException) -> None:
        def check(_: str) -> list[str]:
            raise error

        monkeypatch.setattr("bot.history.schema.check", check)

    return fail_with


@pytest.mark.parametrize(
    "error, status, line",
    [
        (OperatorError("two\nlines"), 2, "kefu: two lines"),
        (NotFound("there is no such thing"), 1, "kefu: there is no such thing"),
        (StoreUnavailable("the disk is full"), 1, "kefu: the disk is full"),
        (SourceError("docs/ is not there"), 1, "kefu: docs/ is not there"),
        (NESTED, 2, "kefu: use another port"),
        (ExceptionGroup("g", [NotFound("gone")]), 1, "kefu: gone"),
        (RuntimeError("customer text 13800138000"), 1, "kefu: unexpected RuntimeError; run with --debug for the trace"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)  # fmt: skip
def test_what_goes_wrong_is_one_line(kefu: Kefu, failing: Any, error: BaseException, status: int, line: str) -> None:
    failing(error)
    called = kefu("db", "check")
    assert (called.status, called.err.strip()) == (status, line)


def test_debug_shows_the_trace(failing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failing(RuntimeError("here"))
    with pytest.raises(RuntimeError, match="here"):
        bot.cli.main(["db", "check", "--debug"])


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    kefu = f"{sys.executable} -P -c 'from bot.cli import main; main()' init --help"
    done = subprocess.run(
        f"{kefu} | true; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() in ("0", "1")
    assert done.stderr == ""


def test_chinese_comes_out_of_a_pipe_in_any_locale(tmp_path: Path) -> None:
    done = run(
        "--help", cwd=tmp_path, env={"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, encoding="utf-8"
    )
    assert "客服" in done.stdout


# -- init --


def test_init_writes_a_file_that_means_the_defaults(kefu: Kefu, tmp_path: Path) -> None:
    from bot.settings import load_settings

    assert kefu("init").status == 0
    path = tmp_path / "kefu.toml"
    assert path.stat().st_mode & 0o077 == 0, "tokens will be written into it"
    text = path.read_text()
    settings = load_settings(path, {})
    assert settings == type(settings)(channels=settings.channels, file=path)

    # Every commented key, with the "#" taken away, is still the same configuration.
    live = "\n".join(
        line[1:] if line[:1] == "#" and line[1:2].strip() and " = " in line else line for line in text.splitlines()
    )
    (tmp_path / "live.toml").write_text(live)
    again = load_settings(tmp_path / "live.toml", {})
    assert live.count(" = ") > 55
    for section in ("http", "model", "tickets", "limits", "channels"):
        assert getattr(again, section) == getattr(settings, section)


def test_init_explains_every_key(kefu: Kefu, tmp_path: Path) -> None:
    from bot.cli.init import described

    assert kefu("init", "--config", "mine.toml").status == 0
    lines = (tmp_path / "mine.toml").read_text().splitlines()
    for section, sentence, keys in described():
        assert sentence, section
        assert f"[{section}]" in lines
        for key in keys:
            assert f"#{key.name} = {key.default}" in lines


def test_init_overwrites_only_when_it_is_told_to(kefu: Kefu, tmp_path: Path) -> None:
    (tmp_path / "kefu.toml").write_text("[http]\nport = 9\n")
    refused = kefu("init")
    assert refused.status == 2
    assert "exists already" in refused.err
    assert (tmp_path / "kefu.toml").read_text() == "[http]\nport = 9\n"
    assert kefu("init", "--force").status == 0
    assert "[telegram]" in (tmp_path / "kefu.toml").read_text()


@pytest.mark.parametrize("command", ["--help", "init"])
def test_what_a_newcomer_types_first_is_fast(tmp_path: Path, command: str) -> None:
    best = min(_seconds(tmp_path / str(attempt), command) for attempt in range(2))
    assert best < 3, "0.2 s and 0.6 s on a quiet machine; this catches an import of the whole house (2 s and more)"


def _seconds(folder: Path, command: str) -> float:
    folder.mkdir()
    started = time.perf_counter()
    assert run(command, cwd=folder).returncode == 0
    return time.perf_counter() - started


def test_the_written_file_is_wrapped_to_be_read(kefu: Kefu, tmp_path: Path) -> None:
    kefu("init")
    lines = (tmp_path / "kefu.toml").read_text().splitlines()
    assert max(len(line) for line in lines if line.startswith("# ")) <= 100
    assert textwrap.dedent("\n".join(lines)) == "\n".join(lines)
