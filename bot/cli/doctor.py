"""`kefu doctor`: looks at everything that has to work, and says what does not."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from bot.cli.common import Operator, configure_logging, json_option, print_json
from bot.errors import KefuError, OperatorError

if TYPE_CHECKING:  # reading settings imports pydantic: not for `kefu doctor --help`
    from bot.settings import Settings
    from bot.source_settings import SourceSettings

LIMIT_SECONDS = 10.0
"""For each channel; the index gets longer, because its embedder has to be loaded."""
INDEX_SECONDS = 60.0
ENGINE_SECONDS = 40.0
"""A server may have to load its model first."""
SOURCE_SECONDS = 45.0
"""A website is asked for its robots.txt first, and each may take 20 s."""
LOW_DISK_BYTES = 200 * 1024 * 1024
"""Less than this, and a busy day or an upgrade's copy may fill the disk."""


Check: TypeAlias = Callable[[], Awaitable[str]]
"""Says in a line how something is; raises what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the examination."""

    name: str
    ok: bool
    detail: str


class _Ill(Exception):
    """What was looked at does not work; the text says what and, where we know, what helps."""


@click.command(short_help="Check configuration, database, index, engine and channels.")
@json_option
@click.pass_obj
def doctor(operator: Operator, as_json: bool) -> None:
    """Check configuration, database, index, cache, engine and every channel's credentials. Changes nothing."""
    findings = _examine(operator)
    well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
            click.echo(f"{mark}  {finding.name:<14} {finding.detail}".rstrip())
    if not well:
        sys.exit(1)


def _examine(operator: Operator) -> list[Finding]:
    try:
        settings = operator.settings()
    except OperatorError as error:
        return [Finding(name="configuration", ok=False, detail=str(error))]
    configure_logging(settings, quiet=True)
    source = str(settings.file) if settings.file else "no kefu.toml: defaults and the environment"
    configuration = Finding(name="configuration", ok=True, detail=source)
    return [configuration, *asyncio.run(_look_at_parts(settings, _channel_checks(settings)))]


async def _look_at_parts(settings: Settings, channels: Mapping[str, Check]) -> list[Finding]:
    found = [
        await _look("database", lambda: asyncio.to_thread(_database, settings), LIMIT_SECONDS),
        await _look("index", lambda: _index(settings), INDEX_SECONDS),
        await _look("cache", lambda: _cache(settings), LIMIT_SECONDS),
        await _look("engine", lambda: _engine(settings), ENGINE_SECONDS),
    ]
    if settings.knowledge.synonyms:
        found.append(await _look("synonyms", lambda: asyncio.to_thread(_synonyms, settings), LIMIT_SECONDS))
    if settings.knowledge.reranker:
        found.append(await _look("reranker", lambda: asyncio.to_thread(_reranker, settings), INDEX_SECONDS))
    found += [
        await _look(f"source {source.name}", functools.partial(_source, settings, source), SOURCE_SECONDS)
        for source in settings.knowledge.sources
    ]
    if settings.functions.modules:
        found.append(await _look("functions", lambda: asyncio.to_thread(_functions, settings), LIMIT_SECONDS))
    # Side by side: one platform that does not answer keeps nobody waiting twice.
    return found + list(await asyncio.gather(*(_look(name, check, LIMIT_SECONDS) for name, check in channels.items())))


async def _look(name: str, check: Check, limit: float) -> Finding:
    from knowledge.errors import KnowledgeError

    try:
        async with asyncio.timeout(limit):
            return Finding(name=name, ok=True, detail=await check())
    except TimeoutError:
        return Finding(name=name, ok=False, detail=f"no answer within {limit:g} s")
    except (_Ill, KefuError, KnowledgeError) as error:
        return Finding(name=name, ok=False, detail=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a part that fails in a new way is a finding, not the doctor's end
        return Finding(name=name, ok=False, detail=f"fails with {type(error).__name__}")


def _database(settings: Settings) -> str:
    from sqlalchemy import make_url

    from bot.history import schema
    from bot.history.database import create_sync_engine, sqlite_path, sqlite_version

    url = settings.database.url
    path = sqlite_path(url)
    if path is None:
        if problems := schema.check(url):
            raise _Ill("; ".join(problems))
        return f"{make_url(url).render_as_string(hide_password=True)}, up to date"
    free = _writable_space(path)
    if not path.exists():
        return f"{path} will be made by the first start; SQLite {sqlite_version()}; {free}"
    if problems := schema.check(url):
        raise _Ill("; ".join(problems))
    engine = create_sync_engine(url, readers=1)
    try:
        with engine.connect() as connection:
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    finally:
        engine.dispose()
    if journal != "wal":
        raise _Ill(f"{path} is in journal mode {journal}: is it on a network file system?")
    return f"{path} is sound and up to date; SQLite {sqlite_version()}, write-ahead log; {free}"


def _writable_space(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise _Ill(f"{folder} is in the way: it is no folder")
    for target in (folder, path) if path.exists() else (folder,):
        if not os.access(target, os.W_OK):
            raise _Ill(f"{target} can not be written by this user")
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        raise _Ill(f"only {free // 2**20} MB are free on the disk of {folder}")
    return f"{free / 2**30:.1f} GB free"


async def _index(settings: Settings) -> str:
    from bot.answering import knowledge_config
    from knowledge.errors import IndexMissingError
    from knowledge.service import open_knowledge

    wanted = settings.knowledge
    # What helps a search has lines of its own.
    config = replace(knowledge_config(settings), reranker="", synonyms=None)
    async with open_knowledge(config) as knowledge:
        try:
            passages = await knowledge.check()
        except IndexMissingError:
            return f"{wanted.uri} is empty: the first start makes it from the database, or brings a sample"
    return f"{wanted.uri}: {passages} passages, embedder {wanted.embedder}"


async def _cache(settings: Settings) -> str:
    from bot.caching import check

    return await check(settings.cache)


def _synonyms(settings: Settings) -> str:
    from knowledge.synonym_file import check_synonyms

    file = settings.knowledge.synonyms
    return f"{file}: {check_synonyms(Path(file))} groups of words"


def _reranker(settings: Settings) -> str:
    from bot.answering import knowledge_config
    from knowledge.reranking import create_reranker

    config = knowledge_config(settings)
    return f"{create_reranker(config.reranker, device=config.device).name} is loaded"


async def _engine(settings: Settings) -> str:
    if settings.model.backend == "extractive":
        # Nothing to load or to reach: it words its answers in the knowledge's own sentences.
        return "extractive, without a model"
    from bot.answering import vllm_settings
    from bot.clock import SystemClock
    from bot.engine import openai_checking, vllm_model

    if settings.model.backend == "openai":
        return await openai_checking.check(settings.model, SystemClock())
    # Looked at and not loaded: that takes minutes and the whole card.
    wanted = await asyncio.to_thread(vllm_settings, settings)
    card = await asyncio.to_thread(vllm_model.check_card, wanted)
    return f"vllm, {wanted.name} is there to be loaded; {card}"


async def _source(settings: Settings, source: SourceSettings) -> str:
    from bot.app import source_maker

    return await source_maker(settings)(source).check()


def _functions(settings: Settings) -> str:
    from bot.dialogue.functions.discovery import find_functions

    return ", ".join(function.name for function in find_functions(settings.functions.modules))


def _channel_checks(settings: Settings) -> dict[str, Check]:
    """Each channel that is on, with the `check` of `checking.py` beside its settings, if there is one."""
    from bot.settings import channel_module

    checks: dict[str, Check] = {}
    for name, channel in settings.channels.items():
        module = channel_module(channel, "checking")
        if not channel.on:
            continue
        if importlib.util.find_spec(module) is None:
            checks[name] = _on
        else:
            checks[name] = functools.partial(
                importlib.import_module(module).check, channel, public_url=settings.http.public_url
            )
    return checks


async def _on() -> str:
    return "on"
