"""What README.md tells people to type works: every block under `<!-- tested -->`, in order, in one folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bot.cli import kefu
from bot.settings import load_settings
from tests.packaging.conftest import ROOT, Installation

README = (ROOT / "README.md").read_text("utf-8")
_FENCES = re.findall(r"(?:<!-- ([^>]*) -->\n)?^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
ALONE = [text for mark, language, text in _FENCES if language == "sh" and mark == "tested"]
RUNNING = [text for mark, language, text in _FENCES if language == "sh" and mark == "tested: while kefu runs"]
SHELL = "".join(text for _, language, text in _FENCES if language == "sh")
TOML = "\n".join(text for _, language, text in _FENCES if language == "toml")
_READY_SECONDS = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody follows the README from top to bottom."""
    return tmp_path_factory.mktemp("follow")


def _first_line(block: str) -> str:
    return block.splitlines()[0][:40]


@pytest.mark.parametrize("block", ALONE, ids=_first_line)
def test_a_block_of_commands_works(block: str, folder: Path, installation: Installation) -> None:
    done = installation.run("bash", "-euo", "pipefail", "-c", block, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    if "sync faq.csv" in block:
        listed, answered = done.stdout.count("opening"), done.stdout.count("春节照常营业")
        assert (listed > 0, answered > 1) == (True, True), done.stdout


def test_a_block_for_a_running_bot_works(folder: Path, installation: Installation) -> None:
    (block,) = RUNNING
    with _running(folder, installation) as address:
        block = block.replace("http://127.0.0.1:8080", address)
        done = installation.run("bash", "-euo", "pipefail", "-c", block, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "event: reply" in done.stdout


def test_the_configuration_examples_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "kefu.toml"
    file.write_text(TOML, encoding="utf-8")
    settings = load_settings(file, {})
    assert settings.tickets.prefix == "SHOP"
    assert settings.channels["telegram"].on


@pytest.mark.parametrize("words", sorted(set(re.findall(r"\bkefu((?: [a-z]+){1,2})", SHELL))))
def test_every_command_exists(words: str) -> None:
    command: click.Command | None = kefu
    for word in words.split():
        if not isinstance(command, click.Group):
            break  # an argument
        command = command.get_command(click.Context(command), word)
        assert command is not None


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z-]+)", SHELL))))
def test_every_make_target_exists(target: str) -> None:
    assert f".PHONY: {target}\n" in (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_every_file_that_is_linked_exists(link: str) -> None:
    assert (ROOT / link.partition("#")[0]).exists()


@contextlib.contextmanager
def _running(folder: Path, installation: Installation) -> Iterator[str]:
    """`kefu run` in this folder, ended as an operator would end it. The value is its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "run.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["kefu", "run"],
            cwd=folder,
            env=installation.environ(folder) | {"KEFU_HTTP__PORT": str(port), "PYTHONUNBUFFERED": "1"},
            executable=installation.folder / "bin" / "kefu",
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while "kefu is ready" not in log.read_text("utf-8"):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == os.EX_OK
    finally:
        process.kill()
        process.wait(timeout=10)
