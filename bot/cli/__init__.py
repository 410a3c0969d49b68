"""The `kefu` command.

A subcommand is a click command in a module of its own, named in `_COMMANDS` and imported when it is called, so that
`kefu --help` stays fast. What a module needs to know:

- `bot.cli.common.Operator` is `ctx.obj` (`@click.pass_obj`): `operator.settings()` reads the configuration.
- Every command gets `--config FILE` and `--debug` from here; modules do not declare them.
- Raise `OperatorError` for what the operator has to change (one line, exit 2), `click.ClickException` or
  `SystemExit(1)` for what was asked for and could not be done, and return for success.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from bot.cli.common import Operator, add_common_options
from bot.errors import KefuError, OperatorError

_COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("bot.cli.init:init", "Write a commented kefu.toml."),
    "doctor": ("bot.cli.doctor:doctor", "Check configuration, database, index, engine and channels."),
    "run": ("bot.cli.run:run", "Start every channel that is on."),
    "chat": ("bot.cli.chat:chat", "Talk to the bot from this terminal."),
    "knowledge": ("bot.cli.knowledge:knowledge", "Fill, search and list the company's knowledge."),
    "tickets": ("bot.cli.tickets:tickets", "Work on tickets."),
    "eval": ("bot.cli.evaluate:evaluate", "Measure answers on a file of labelled questions."),
    "insights": ("bot.cli.insights:insights", "Show what was asked in vain, and draft answers."),
    "deliveries": ("bot.cli.deliveries:deliveries", "Decide on replies that may not have arrived."),
    "db": ("bot.cli.db:db", "Upgrade, check and copy the database."),
}
"""Name to where it lives and its line of help; said here so that `kefu --help` imports none of them."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return add_common_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kefu")
@click.pass_context
def kefu(ctx: click.Context) -> None:
    """Kefu 客服: answers customers from the company's own knowledge."""
    ctx.ensure_object(Operator)


add_common_options(kefu, recursive=False)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and leaves the process with its exit status."""
    operator = Operator()
    _write_utf8()
    try:
        status = kefu.main(arguments, prog_name="kefu", standalone_mode=False, obj=operator)
        sys.stdout.flush()
    except click.ClickException as refusal:
        refusal.show()
        sys.exit(refusal.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone (`kefu tickets list | head`). click ends like this too, where it notices
        # first; what is still buffered would make Python complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as raised:  # the edge of the program: what is left becomes one line, never a page of trace
        if operator.debug:
            raise
        error = _innermost(raised)
        _complain(error)
        sys.exit(2 if _is_for_operators(error) else 1)
    sys.exit(status if isinstance(status, int) else 0)


def _innermost(error: Exception) -> Exception:
    """What a task group failed of: the part that an operator can act on, if there is one."""
    while isinstance(error, ExceptionGroup):
        operator = error.subgroup(OperatorError)
        error = (operator or error).exceptions[0]
    return error


def _is_for_operators(error: Exception) -> bool:
    """Whether a setting has to be changed before it can work."""
    from knowledge.errors import EmbedderError

    return isinstance(error, OperatorError | EmbedderError)


def _complain(error: Exception) -> None:
    from knowledge.errors import KnowledgeError

    if isinstance(error, KefuError | KnowledgeError):
        click.echo(f"kefu: {' '.join(str(error).split())}", err=True)
    else:
        # Its text may hold a customer's words or a token: only its kind is said.
        click.echo(f"kefu: unexpected {type(error).__name__}; run with --debug for the trace", err=True)


def _write_utf8() -> None:
    """Chinese has to come out of a pipe whatever the locale says; on a terminal the locale knows better."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(**({"errors": "replace"} if stream.isatty() else {"encoding": "utf-8", "errors": "replace"}))
