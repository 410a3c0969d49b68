"""What every command shares: the operator's configuration, `--config`, `--debug`, and printing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # reading settings imports pydantic: not for `kefu --help`
    from bot.settings import Settings


class Operator:
    """Who called `kefu`, and with which configuration. `ctx.obj` of every command."""

    def __init__(self) -> None:
        self.config: Path | None = None
        self.debug = False
        self._settings: Settings | None = None

    def settings(self) -> Settings:
        """Reads the configuration, once.

        :raises SettingsError: one line for the operator.
        """
        if self._settings is None:
            self._settings = self.settings_of(self.config)
        return self._settings

    def settings_of(self, config: Path | None) -> Settings:
        """Reads another configuration file, with the same environment over it.

        :raises SettingsError: one line for the operator.
        """
        from bot.settings import load_settings

        return load_settings(config, os.environ)


def add_common_options(command: click.Command, *, recursive: bool = True) -> click.Command:
    """Gives the command (and those under it) `--config` and `--debug`; asking twice changes nothing."""
    if all(parameter.name != "config_file" for parameter in command.params):
        command.params.extend(
            (
                click.Option(
                    ["--config", "config_file"],
                    type=click.Path(path_type=Path),
                    metavar="FILE",
                    expose_value=False,
                    callback=_set_config,
                    help="The configuration (default: KEFU_CONFIG, else ./kefu.toml if there is one).",
                ),
                click.Option(
                    ["--debug"],
                    is_flag=True,
                    expose_value=False,
                    callback=_set_debug,
                    help="Show the trace of an unexpected error.",
                ),
            )
        )
    if recursive and isinstance(command, click.Group):
        for child in command.commands.values():
            add_common_options(child)
    return command


def _set_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Operator).config = value


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Operator).debug = True


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""For commands that print data; the parameter is `as_json`."""


def print_json(value: Any) -> None:
    """One JSON object on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def configure_logging(settings: Settings, *, quiet: bool = False) -> None:
    """Logs go to standard error; a `quiet` command shows only what went wrong, unless `log.level` is "debug"."""
    from bot import telemetry

    level = "warning" if quiet and settings.log.level in ("info", "warning") else settings.log.level
    telemetry.configure(level=level, format=settings.log.format, redact=settings.privacy.redact)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on the terminal, drawn at the first step; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=" passages", leave=False, delay=0.3) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
