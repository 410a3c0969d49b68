"""`kefu knowledge`: fill, search and list the company's knowledge."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bot.cli.common import Operator, json_option, print_json, progress_bar
from bot.cli.knowledge_versions import VERSION_COMMANDS
from knowledge.config import KnowledgeConfig
from knowledge.errors import KnowledgeError, SourceError
from knowledge.language import LANGUAGES
from knowledge.scope import Scope
from knowledge.sources.base import Source
from knowledge.values import DEFAULT_COLLECTION, Hit, Problem, SyncReport

# Enough that embedding and searching overlap; a batch is read and answered in its order.
_SEARCHES_AT_ONCE = 8
_SHOWN_CHARACTERS = 200


@click.group()
def knowledge() -> None:
    """Fill, search and list the company's knowledge."""


for _command in VERSION_COMMANDS:
    knowledge.add_command(_command)


@knowledge.command()
@click.argument("sources", nargs=-1, metavar="[PATH_OR_ADDRESS]...")
@click.option("--collection", metavar="NAME", help=f"Which one (default: {DEFAULT_COLLECTION}).")
@click.option("--rebuild", is_flag=True, help="Write the whole index anew, with the configured embedder.")
@json_option
@click.pass_obj
def sync(operator: Operator, sources: tuple[str, ...], collection: str | None, rebuild: bool, as_json: bool) -> int:
    """Make a collection equal to its source: files and folders of .md, .txt, .csv, .jsonl and, with kefu[docs], .pdf,
    .docx, .xlsx, .pptx and .html; pages or a sitemap, https://...; or the rows of a database, driver://user:password@host/name?query=SELECT...

    Without a source: every [[knowledge.sources]] of kefu.toml, or those of the given collection.

    Unchanged documents are not embedded again, vanished ones are removed. What could not be read is named and
    the rest goes in; the exit status is then 1.
    """
    from bot.cli.opening import open_knowledge_to_change

    wanted = _wanted(operator, sources, collection)
    settings = operator.settings()

    async def run() -> list[SyncReport | SourceError]:
        async with open_knowledge_to_change(settings) as opened:
            done: list[SyncReport | SourceError] = []
            for name, group in wanted.items():
                with progress_bar("Embedding") as progress:
                    try:
                        # The index is made anew once, then filled.
                        anew = rebuild and not any(isinstance(one, SyncReport) for one in done)
                        done.append(await opened.sync(group, collection=name, rebuild=anew, progress=progress))
                    except SourceError as error:
                        if len(wanted) == 1:
                            raise
                        done.append(error)  # the other collections can do without
            return done

    outcomes = asyncio.run(run())
    for outcome in outcomes:
        if isinstance(outcome, SourceError):
            click.echo(f"kefu: {outcome}", err=True)
        elif as_json:
            print_json(asdict(outcome))
        else:
            _print_report(outcome)
    return 1 if any(isinstance(outcome, SourceError) or outcome.problems for outcome in outcomes) else 0


@knowledge.command()
@click.argument("text", required=False)
@click.option("--top-k", type=click.IntRange(1, 100), metavar="N", help="How many passages (default: knowledge.top_k).")
@click.option("--collection", "collections", multiple=True, metavar="NAME", help="Any of these, if several are given.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="All of these, if several are given.")
@click.option("--language", type=click.Choice(LANGUAGES), metavar="CODE", help="Such as zh or en.")
@click.option("--batch", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE.jsonl")
@json_option
@click.pass_obj
def search(
    operator: Operator,
    text: str | None,
    top_k: int | None,
    collections: tuple[str, ...],
    tags: tuple[str, ...],
    language: str | None,
    batch: Path | None,
    as_json: bool,
) -> int:
    """Search the knowledge, without a model. A batch has lines {"id","text"}, each answered by a line of JSON."""
    if (text is None) == (batch is None):
        raise click.UsageError("give either TEXT or --batch FILE.jsonl")
    config = _config(operator)
    wanted = Scope.of(collections or (DEFAULT_COLLECTION,), tags, language or "")
    if batch is not None:
        return asyncio.run(_search_batch(config, batch, wanted, top_k))
    assert text is not None

    async def run() -> tuple[Hit, ...]:
        async with _searchable(config, wanted) as find:
            return await find(text, top_k)

    hits = asyncio.run(run())
    if as_json:
        print_json({"hits": [asdict(hit) for hit in hits]})
    elif not hits:
        click.echo("nothing found")
    else:
        for place, hit in enumerate(hits, start=1):
            _print_hit(place, hit)
    return 0


@knowledge.command(name="list")
@json_option
@click.pass_obj
def list_collections(operator: Operator, as_json: bool) -> None:
    """List the collections: documents and passages of each."""
    config = _config(operator)

    async def run() -> dict[str, Any]:
        from knowledge.service import open_knowledge

        async with open_knowledge(config) as opened:
            summaries = await opened.collections()
            return {
                "version": opened.retriever.version,
                "embedder": opened.embedder.name,
                "collections": [asdict(summary) for summary in summaries],
            }

    listing = asyncio.run(run())
    if as_json:
        print_json(listing)
        return
    for summary in listing["collections"]:
        click.echo(f"{summary['name']}: {summary['documents']} documents, {summary['passages']} passages")
    if not listing["collections"]:
        click.echo("nothing is indexed yet; run `kefu knowledge sync PATH`")


def _config(operator: Operator) -> KnowledgeConfig:
    from bot.answering import knowledge_config

    return knowledge_config(operator.settings())


def _wanted(
    operator: Operator, sources: Sequence[str], collection: str | None
) -> Mapping[str, Sequence[Path | str | Source]]:
    """The sources of each collection that is to be synced."""
    if collection is not None and not collection.strip():
        raise click.BadParameter("is empty", param_hint="--collection")
    name = None if collection is None else collection.strip()
    if sources:
        return {name or DEFAULT_COLLECTION: [_source(operator, source) for source in sources]}
    from bot.app import source_maker
    from bot.sources import by_collection

    make = source_maker(operator.settings())
    groups = by_collection(operator.settings().knowledge.sources)
    if not groups:
        raise click.UsageError("give a PATH_OR_ADDRESS, or write [[knowledge.sources]] into kefu.toml")
    if name is not None and name not in groups:
        raise click.BadParameter(f"no [[knowledge.sources]] is of the collection {name!r}", param_hint="--collection")
    return {owner: [make(settings) for settings in group] for owner, group in groups.items() if name in (None, owner)}


def _source(operator: Operator, given: str) -> Path | Source:
    scheme, separator, _ = given.partition("://")
    if not separator:
        return Path(given)
    if scheme in ("http", "https"):
        from bot.app import data_folder
        from bot.sources import KEPT_FOLDER
        from knowledge.sources.website import WebSource

        settings = operator.settings()
        allowed = settings.knowledge.allow_private_addresses
        return WebSource(given, keep=data_folder(settings) / KEPT_FOLDER, allow_private=allowed)
    from knowledge.sources.database import from_address

    return from_address(given)


def _print_report(report: SyncReport) -> None:
    _print_problems(report.problems)
    click.echo(
        f"{report.collection}: {report.added} added, {report.changed} changed, {report.removed} removed, "
        f"{report.unchanged} unchanged ({report.embedded} embedded); version {report.version}"
    )


# --- Searching ----------------------------------------------------------------------------------------

_Find = Callable[[str, int | None], Awaitable[tuple[Hit, ...]]]


@asynccontextmanager
async def _searchable(config: KnowledgeConfig, wanted: Scope) -> AsyncIterator[_Find]:
    """A search over an index that has something in every wanted collection."""
    from knowledge.service import open_knowledge

    async with open_knowledge(config) as opened:
        await opened.check()
        missing = set(wanted.collections) - {summary.name for summary in await opened.collections()}
        if missing:
            raise KnowledgeError(f"there is no collection {', '.join(map(repr, sorted(missing)))}")

        async def find(text: str, top_k: int | None) -> tuple[Hit, ...]:
            return await opened.retriever.search(
                text, collections=wanted.collections, tags=wanted.tags, language=wanted.language, top_k=top_k
            )

        yield find


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    id: Any
    text: str


async def _search_batch(config: KnowledgeConfig, file: Path, wanted: Scope, top_k: int | None) -> int:
    """Answers every good line in order; names the bad ones. The exit status."""
    questions: list[_Question] = []
    problems: list[Problem] = []
    for item in await asyncio.to_thread(_read_batch, file):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            questions.append(item)
    async with _searchable(config, wanted) as find:
        with progress_bar("Searching") as progress:
            for start in range(0, len(questions), _SEARCHES_AT_ONCE):
                batch = questions[start : start + _SEARCHES_AT_ONCE]
                found = await asyncio.gather(*(find(question.text, top_k) for question in batch))
                for question, hits in zip(batch, found, strict=True):
                    print_json({"id": question.id, "hits": [_batch_hit(hit) for hit in hits]})
                if progress is not None:
                    progress(start + len(batch), len(questions))
    _print_problems(problems)
    return 1 if problems else 0


def _read_batch(file: Path) -> list[_Question | Problem]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{name}:{line}: is not UTF-8") from error
    return list(_parse_batch(name, text))


def _parse_batch(name: str, text: str) -> Iterator[_Question | Problem]:
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            yield Problem(path=name, line=line, reason="is not JSON")
            continue
        if not isinstance(value, dict) or not isinstance(value.get("text"), str) or "id" not in value:
            yield Problem(path=name, line=line, reason='is not {"id", "text"}')
        else:
            yield _Question(id=value["id"], text=value["text"])


def _batch_hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "document": hit.document,
        "collection": hit.collection,
        "title": hit.title,
        "text": hit.text,
        "url": hit.url,
        "score": hit.score,
    }


# --- Printing -----------------------------------------------------------------------------------------


def _print_hit(place: int, hit: Hit) -> None:
    click.echo(f"{place:2}. {hit.score:.2f}  {hit.title}  [{hit.id}]")
    text = " ".join(hit.text.split())
    click.echo(f"    {text[:_SHOWN_CHARACTERS]}{'…' if len(text) > _SHOWN_CHARACTERS else ''}")
    if hit.url:
        click.echo(f"    {hit.url}")


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)
