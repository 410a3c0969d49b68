"""Finding functions: in the modules of this package, and in those that the operator names."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bot.dialogue import functions
from bot.dialogue.functions.base import Function
from bot.dialogue.ticketing import CREATE_TICKET, HAND_TO_PERSON, TICKET_STATUS
from bot.errors import OperatorError, SettingsError

DECLARATION = "FUNCTIONS"
"""The name of a module's tuple of functions."""


def find_functions(modules: Sequence[str]) -> tuple[Function[Any], ...]:
    """The functions of this package's modules, then those of `modules` (`functions.modules`), in order.

    Imports them, which reads files: not for the event loop.

    :raises SettingsError: a module of the operator's can not be imported, declares no functions, or one whose name is
        taken; one line.
    """
    ours = sorted(f"{functions.__name__}.{found.name}" for found in pkgutil.iter_modules(functions.__path__))
    found = [function for name in ours for function in getattr(importlib.import_module(name), DECLARATION, ())]
    for name in modules:
        found.extend(_declared(name, _imported(name)))
    taken = {CREATE_TICKET, TICKET_STATUS, HAND_TO_PERSON}
    for function in found:
        if function.name in taken:
            raise SettingsError(f"functions.modules: there are two functions with the name {function.name}")
        taken.add(function.name)
    return tuple(found)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except OperatorError as error:
        raise SettingsError(f"functions.modules: {name}: {error}") from error
    except (ImportError, SyntaxError) as error:
        raise SettingsError(f"functions.modules: {name} can not be imported: {' '.join(str(error).split())}") from error
    except Exception as error:  # an operator's module may fail in any way; the line says where
        # The error's own words are left out: they may hold what the module read, a password among it.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
        raise SettingsError(f"functions.modules: {name} can not be imported: {where}") from error


def _declared(name: str, module: ModuleType) -> tuple[Function[Any], ...]:
    declared = getattr(module, DECLARATION, None)
    if not isinstance(declared, tuple) or not declared or not all(isinstance(part, Function) for part in declared):
        raise SettingsError(
            f"functions.modules: {name} has no {DECLARATION}, a tuple of functions (docs/functions.md shows one)"
        )
    return declared
