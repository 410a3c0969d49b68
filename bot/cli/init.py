"""`kefu init`: a commented kefu.toml, written from the settings themselves so that it never drifts from them."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import click
from pydantic import BaseModel, SecretStr

from bot.cli.common import Operator
from bot.errors import OperatorError
from bot.settings import DEFAULT_FILE, all_sections

_HEAD = """\
# kefu.toml: every setting with its default. Remove a "#" in front of a key to change it.
# KEFU_<SECTION>__<KEY> in the environment stands over this file, e.g. KEFU_TELEGRAM__TOKEN;
# lists in the environment are JSON. Keep secrets out of version control.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting, as documentation shows it."""

    section: str
    name: str
    default: str
    """In TOML."""
    meaning: str


def described() -> Iterator[tuple[str, str, tuple[Key, ...]]]:
    """Every section with its sentence and its keys, in the order of the contract."""
    for section, model in all_sections().items():
        meanings = _sentences(model)
        keys = tuple(
            Key(
                section=section,
                name=name,
                default=_toml(field.get_default(call_default_factory=True)),
                meaning=field.description or meanings.get(name, ""),
            )
            for name, field in model.model_fields.items()
        )
        yield section, " ".join((inspect.getdoc(model) or "").split()), keys


def commented_toml() -> str:
    """The whole file; with every key commented out it means the defaults, today's and those of a later version."""
    lines = [_HEAD]
    for section, sentence, keys in described():
        lines += [*_comment(sentence, "# "), f"[{section}]"]
        for key in keys:
            lines += [*_comment(key.meaning, "# "), f"#{key.name} = {key.default}"]
        lines.append("")
    return "\n".join(lines)


@click.command(short_help="Write a commented kefu.toml.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@click.pass_obj
def init(operator: Operator, force: bool) -> None:
    """Write a commented kefu.toml (or the file that --config names), every key at its default."""
    path = operator.config or DEFAULT_FILE
    try:
        # 0600: tokens will be written into it.
        path.touch(mode=0o600, exist_ok=force)
        path.write_text(commented_toml(), encoding="utf-8")
    except FileExistsError:
        raise OperatorError(f"{path} exists already; --force overwrites it") from None
    except OSError as error:
        raise OperatorError(f"{path} can not be written: {error.strerror}") from error
    click.echo(f"Wrote {path}. Nothing has to be changed: `kefu run` starts the web chat.")


def _sentences(model: type[BaseModel]) -> dict[str, str]:
    """The string under each attribute, as the source has it; parents first."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for above, below in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(above, ast.AnnAssign)
                and isinstance(above.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found[above.target.id] = " ".join(below.value.value.split())
    return found


def _toml(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    # JSON's texts, numbers, booleans and lists of them are TOML's too.
    return json.dumps(list(value) if isinstance(value, tuple | list) else value, ensure_ascii=False)


def _comment(text: str, prefix: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False)
