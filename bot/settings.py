"""The only reader of kefu.toml and of the environment.

`load_settings(config, environ)` merges the file and the `KEFU_<SECTION>__<KEY>` variables over the defaults of
`bot.sections` and of every `adapters/<platform>/settings.py`. Whatever is wrong becomes one line that says where it was
written and which key it is, and never repeats a secret.

pydantic-settings reads and merges the two; what is ours is saying where a mistake was written.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import pkgutil
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, get_origin

from pydantic import BaseModel, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource

import adapters
from bot.errors import SettingsError
from bot.sections import (
    SECTIONS,
    AdminSettings,
    CacheSettings,
    DatabaseSettings,
    DialogueSettings,
    FunctionSettings,
    HttpSettings,
    KnowledgeSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    PrivacySettings,
    TicketSettings,
)

PREFIX = "KEFU_"
DEFAULT_FILE = Path("kefu.toml")
_VARIABLES = ("KEFU_CONFIG", "KEFU_FAILPOINT")
"""Variables of ours that are no setting."""


class ChannelSettings(Protocol):
    """What a channel's own settings promise; `adapters/<platform>/settings.py` has a pydantic model of it."""

    @property
    def on(self) -> bool:
        """Whether the channel is to be started: its credentials are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator decided. `Settings()` is a fresh machine without channels."""

    http: HttpSettings = field(default_factory=HttpSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    dialogue: DialogueSettings = field(default_factory=DialogueSettings)
    tickets: TicketSettings = field(default_factory=TicketSettings)
    functions: FunctionSettings = field(default_factory=FunctionSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    log: LogSettings = field(default_factory=LogSettings)
    channels: Mapping[str, ChannelSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    """By platform, whether on or not."""
    file: Path | None = None
    """The kefu.toml that was read."""
    failpoint: str = ""
    """KEFU_FAILPOINT, for `bot.failpoints.arm`; tests of faults set it."""


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Reads the file (`config`, else KEFU_CONFIG, else ./kefu.toml if there is one) and the environment over it.

    :raises SettingsError: one line for the operator.
    """
    path = _find_file(config, environ)
    written = _Written(path)
    known = all_sections()
    ours = {name: text for name, text in environ.items() if name.startswith(PREFIX) and name not in _VARIABLES}
    for variable, text in ours.items():
        section, key = _known_variable(variable, known)
        _check_list(variable, text, known[section].model_fields[key])
        written.variables[section, key] = variable
    fields: dict[str, Any] = {name: (model, ...) for name, model in known.items()}
    layout = create_model("Layout", __base__=BaseSettings, **fields)
    table = _read_toml(layout, path) if path is not None else {}
    for section, keys in table.items():
        _check_table(_known_section(section, keys, known, written), keys, known[section], written)
    above = _Environment(layout, ours)()
    values = {name: {**table.get(name, {}), **above.get(name, {})} for name in known}
    sections = {name: _validated(name, model, values[name], written) for name, model in known.items()}
    _check_notify(sections, known, written)
    core: dict[str, Any] = {name: sections[name] for name in SECTIONS}
    _refuse_what_is_to_come(core, written)
    channels: dict[str, Any] = {name: sections[name] for name in known if name not in SECTIONS}
    return Settings(
        **core,
        channels=types.MappingProxyType(channels),
        file=path,
        failpoint=environ.get("KEFU_FAILPOINT", ""),
    )


def all_sections() -> dict[str, type[BaseModel]]:
    """The model of every section: the core's, then the channels' by name."""
    return {**SECTIONS, **dict(_channel_sections())}


def channel_module(settings: ChannelSettings, name: str) -> str:
    """The module of that name in the folder of the channel that these settings are of."""
    package, _, _ = type(settings).__module__.rpartition(".")
    return f"{package}.{name}"


def _channel_sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Of every folder in `adapters/` that has settings; a platform of several channels has a folder for each."""
    for package in _packages(adapters.__name__, adapters.__path__):
        name = f"{package}.settings"
        if importlib.util.find_spec(name) is not None:
            settings = importlib.import_module(name)
            yield settings.SECTION, settings.ChannelSettings


def _packages(parent: str, path: Iterable[str]) -> Iterator[str]:
    for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
        if module.ispkg:
            name = f"{parent}.{module.name}"
            yield name
            yield from _packages(name, importlib.import_module(name).__path__)


class _Written:
    """Where each value was written down, for the line that names a mistake."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.variables: dict[tuple[str, str], str] = {}

    def where(self, section: str, key: str = "") -> str:
        """ "KEFU_HTTP__PORT", "kefu.toml:12", or whatever stands nearest."""
        if variable := self.variables.get((section, key)):
            return variable
        if self.path is None:
            return next((name for (owner, _), name in self.variables.items() if owner == section), "settings")
        line = _line_of(self.path, section, key) or _line_of(self.path, section, "")
        if not line and not key:
            return next((name for (owner, _), name in self.variables.items() if owner == section), str(self.path))
        return f"{self.path}:{line}" if line else str(self.path)


def _line_of(path: Path, section: str, key: str) -> int:
    """The line that sets `section.key`, or opens the section where `key` is empty; 0 when it can not be told."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    current = ""
    for number, line in enumerate(lines, start=1):
        bare = re.sub(r"[\s\"']", "", line)
        if header := re.match(r"\[+([^\]]+)\]", bare):
            current = header[1]
            found = current == (f"{section}.{key}" if key else section)
        elif current:
            found = bool(key) and current == section and bare.startswith(f"{key}=")
        else:  # above every header: `http.port = 1`, `http = { port = 1 }`, or a stray `port = 1`
            found = bare.startswith((f"{section}.{key}=", f"{section}={{")) or (
                not key and bare.startswith(section + "=")
            )
        if found:
            return number
    return 0


def _find_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is None and environ.get("KEFU_CONFIG"):
        config = Path(environ["KEFU_CONFIG"])
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"{config}: there is no such file")
        return config
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


class _Environment(EnvSettingsSource):
    """The variables that `load_settings` was given, not the process's own."""

    def __init__(self, layout: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(layout, env_prefix=PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._environ.items()}


class _TomlFile(TomlConfigSettingsSource):
    """kefu.toml, also as Windows editors save it, with a byte-order mark."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return tomllib.loads(file_path.read_text(encoding="utf-8-sig"))


def _read_toml(layout: type[BaseSettings], path: Path) -> dict[str, Any]:
    try:
        return _TomlFile(layout, path).toml_data
    except OSError as error:
        raise SettingsError(f"{path}: can not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        # The parser's own message may quote the text around the mistake, which may be a secret.
        found = re.search(r"at line (\d+)", str(error))
        raise SettingsError(f"{path}:{found[1] if found else 1}: is not valid TOML") from None


def _known_section(section: str, table: object, known: Mapping[str, type[BaseModel]], written: _Written) -> str:
    where = written.where(section)
    if section in known:
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: {section} must be a section: [{section}]")
        return section
    if isinstance(table, dict):
        raise SettingsError(f"{where}: {_unknown_section(section, known)}")
    homes = [f"[{name}]" for name, model in known.items() if section in model.model_fields]
    hint = f"; it belongs in {' or '.join(homes)}" if homes else ""
    raise SettingsError(f"{where}: the key {section} stands outside every section{hint}")


def _unknown_section(section: str, known: Mapping[str, type[BaseModel]]) -> str:
    return f"there is no section {section}{_did_you_mean(section, known)}"


def _unknown_key(section: str, key: str, known: Mapping[str, type[BaseModel]]) -> str:
    hint = _did_you_mean(key, known[section].model_fields)
    if not hint:
        others = [f"{name}.{key}" for name, model in known.items() if key in model.model_fields]
        hint = f"; did you mean {' or '.join(others)}?" if 0 < len(others) < 3 else ""
    return f"there is no setting {section}.{key}{hint}"


def _did_you_mean(word: str, words: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _check_table(section: str, table: Mapping[str, Any], model: type[BaseModel], written: _Written) -> None:
    """TOML has types, so `port = "8080"` and `redact = 1` are mistakes, though pydantic would let them pass."""
    for key, value in table.items():
        found = model.model_fields.get(key)
        if found is None:
            raise SettingsError(f"{written.where(section, key)}: {_unknown_key(section, key, all_sections())}")
        wanted = found.annotation
        number = wanted in (int, float)
        if (number and isinstance(value, bool | str)) or (wanted is bool and not isinstance(value, bool)):
            raise SettingsError(f"{written.where(section, key)}: {section}.{key} must be {_TYPE_WORDS[wanted]}")


def _known_variable(variable: str, known: Mapping[str, type[BaseModel]]) -> tuple[str, str]:
    section, delimiter, key = variable.removeprefix(PREFIX).lower().partition("__")
    if not delimiter:
        everything = {f"{PREFIX}{s}__{k}".upper(): None for s, model in known.items() for k in model.model_fields}
        near = difflib.get_close_matches(variable, everything, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; settings are KEFU_<SECTION>__<KEY>"
        raise SettingsError(f"{variable}: there is no such setting{hint}")
    if section not in known:
        raise SettingsError(f"{variable}: {_unknown_section(section, known)}")
    if key not in known[section].model_fields:
        raise SettingsError(f"{variable}: {_unknown_key(section, key, known)}")
    return section, key


def _check_list(variable: str, text: str, wanted: FieldInfo) -> None:
    if get_origin(wanted.annotation) not in (tuple, list):
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise SettingsError(f'{variable}: must be a JSON list such as ["default"]')


def _validated(section: str, model: type[BaseModel], values: Mapping[str, Any], written: _Written) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as refused:
        problems = refused.errors(include_url=False)
    first = problems[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    name = f"{section}.{key}" if key else section
    what = _in_words(first, model.model_fields.get(key))
    # A check of a whole section names its keys in full; the section's name in front would be said twice.
    line = what if not key and what.startswith(f"{section}.") else f"{name}{' ' if key else ': '}{what}"
    others = len({problem["loc"][:1] for problem in problems}) - 1
    more = f" (and {others} more)" if others else ""
    raise SettingsError(" ".join(f"{written.where(section, key)}: {line}{more}".split()))


_TYPE_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
_WORDS = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "literal_error": "must be {expected}",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "string_type": "must be text in quotes",
    "tuple_type": 'must be a list such as ["default"]',
    "value_error": "{error}",
}


def _in_words(problem: ErrorDetails, wanted: FieldInfo | None) -> str:
    kind = problem["type"].split("_")[0]
    for number, words in _TYPE_WORDS.items():
        if kind == number.__name__:
            return f"must be {words}{_as_written(problem, wanted)}"
    if len(problem["loc"]) > 1 and problem["type"] == "string_type":
        return 'must be a list of texts such as ["default"]'
    template = _WORDS.get(problem["type"])
    if template is None:
        return problem["msg"].replace("Input should be", "must be")
    said = template.format(**problem.get("ctx", {}))
    return said if problem["type"] in ("value_error", "string_type") else said + _as_written(problem, wanted)


def _as_written(problem: ErrorDetails, wanted: FieldInfo | None) -> str:
    value = problem["input"]
    if wanted is None or wanted.annotation is SecretStr or not wanted.repr or not isinstance(value, str | int | float):
        return ""
    return f", not {value!r}" if len(str(value)) <= 40 else ""


def _refuse_what_is_to_come(core: Mapping[str, Any], written: _Written) -> None:
    """A setting that would silently do nothing is worse than none."""
    privacy = core["privacy"]
    to_come = {
        ("privacy", "retention_days"): privacy.retention_days > 0,
    }
    for (section, key), asked in to_come.items():
        if asked:
            default = SECTIONS[section].model_fields[key].get_default()
            where = written.where(section, key)
            raise SettingsError(f"{where}: {section}.{key} can only be {default!r} in this version of kefu")


def _check_notify(sections: Mapping[str, BaseModel], known: Mapping[str, type[BaseModel]], written: _Written) -> None:
    tickets = sections["tickets"]
    assert isinstance(tickets, TicketSettings)
    for address in tickets.notify:
        platform = address.partition(":")[0]
        if getattr(sections.get(platform), "many", False):
            # Which of them, an address does not say; a notice would wait for ever.
            raise SettingsError(
                f"{written.where('tickets', 'notify')}: tickets.notify: {platform} serves several workspaces, "
                "so operators are told on another channel"
            )
        if platform in SECTIONS or platform not in known:
            raise SettingsError(
                f"{written.where('tickets', 'notify')}: tickets.notify: the channel {platform} does not exist"
            )
