"""`kefu knowledge versions`, `diff`, `rollback`, `rebuild`, `forget`: what the knowledge was, and taking it back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bot.cli.common import Operator, json_option, print_json, progress_bar
from knowledge.values import SyncReport

if TYPE_CHECKING:
    from knowledge.ledger import DocumentKey, Version


@click.command()
@json_option
@click.pass_obj
def versions(operator: Operator, as_json: bool) -> None:
    """List the versions that are kept, the newest first, with what each added, changed and removed."""
    settings = operator.settings()

    async def run() -> tuple[Version, ...]:
        from bot.cli.opening import open_ledger

        async with open_ledger(settings) as ledger:
            return await ledger.versions()

    found = asyncio.run(run())
    if as_json:
        print_json({"versions": [_listed(version) for version in found]})
        return
    for version in found:
        click.echo(_line(version))
    if not found:
        click.echo("there is no version yet; `kefu knowledge sync PATH` makes the first one")


@click.command()
@click.argument("earlier", type=click.IntRange(min=1), metavar="A")
@click.argument("later", type=click.IntRange(min=1), metavar="B")
@json_option
@click.pass_obj
def diff(operator: Operator, earlier: int, later: int, as_json: bool) -> None:
    """Show which documents were added (+), changed (~) and removed (-) from version A to version B."""
    settings = operator.settings()

    async def run() -> Any:
        from bot.cli.opening import open_ledger
        from knowledge.ledger import difference

        async with open_ledger(settings) as ledger:
            return await difference(ledger, earlier, later)

    found = asyncio.run(run())
    marked = {"+": found.added, "~": found.changed, "-": found.removed}
    if as_json:
        parts = (("added", found.added), ("changed", found.changed), ("removed", found.removed))
        print_json({"from": earlier, "to": later} | {name: [_key(key) for key in keys] for name, keys in parts})
        return
    for mark, keys in marked.items():
        for collection, document in keys:
            click.echo(f"{mark} {collection}: {document}")
    if not any(marked.values()):
        click.echo(f"versions {earlier} and {later} are the same")


@click.command()
@click.argument("version", type=click.IntRange(min=1), metavar="VERSION")
@json_option
@click.pass_obj
def rollback(operator: Operator, version: int, as_json: bool) -> None:
    """Make an older VERSION the newest one. Its sources stay as they are: their next sync moves on from there."""
    from bot.cli.opening import open_knowledge_to_change

    settings = operator.settings()

    async def run() -> SyncReport:
        async with open_knowledge_to_change(settings) as opened:
            with progress_bar("Embedding") as progress:
                return await opened.rollback(version, progress=progress)

    report = asyncio.run(run())
    if as_json:
        print_json(asdict(report))
    elif report.added or report.changed or report.removed:
        click.echo(f"back to version {version}: {_counts(report)}; this is version {report.version}")
    else:
        click.echo(f"version {report.version} is the same as version {version}; nothing was changed")


@click.command()
@json_option
@click.pass_obj
def rebuild(operator: Operator, as_json: bool) -> None:
    """Make the index anew from the ledger, with the configured embedder. The bot goes on answering meanwhile."""
    from bot.cli.opening import open_knowledge_to_change

    settings = operator.settings()

    async def run() -> SyncReport:
        async with open_knowledge_to_change(settings) as opened:
            with progress_bar("Embedding") as progress:
                return await opened.rebuild(progress=progress)

    report = asyncio.run(run())
    if as_json:
        print_json(asdict(report))
    else:
        click.echo(f"{report.unchanged} documents ({report.embedded} embedded); version {report.version}")


@click.command()
@click.argument("document", metavar="DOCUMENT")
@click.option("--collection", metavar="NAME", help="Only from this one (default: from all).")
@json_option
@click.pass_obj
def forget(operator: Operator, document: str, collection: str | None, as_json: bool) -> None:
    """Take a DOCUMENT (as `search` names it) out of every version, the past ones too, and off the disk.

    A source that still has it brings it back at its next sync.
    """
    from bot.cli.opening import open_knowledge_to_change

    settings = operator.settings()

    async def run() -> SyncReport:
        async with open_knowledge_to_change(settings) as opened:
            return await opened.forget(document, collection=collection)

    report = asyncio.run(run())
    if as_json:
        print_json(asdict(report))
    else:
        click.echo(
            f"{document} is forgotten in every version; remove it from its source too (version {report.version})"
        )


def _line(version: Version) -> str:
    what = f"rollback to {version.basis}" if version.kind == "rollback" else version.kind
    where = f" {version.collection}" if version.collection else ""
    return f"{version.number}  {version.at:%Y-%m-%d %H:%M:%S} UTC  {what}{where}: {_counts(version)}"


def _counts(counted: Version | SyncReport) -> str:
    return f"{counted.added} added, {counted.changed} changed, {counted.removed} removed"


def _listed(version: Version) -> dict[str, Any]:
    listed = asdict(version)
    del listed["key"]
    return listed | {"at": version.at.isoformat()}


def _key(key: DocumentKey) -> dict[str, str]:
    return {"collection": key[0], "document": key[1]}


VERSION_COMMANDS = (versions, diff, rollback, rebuild, forget)
