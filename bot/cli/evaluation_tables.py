"""The report of `kefu eval` for a reader: tables of figures. Pure, over the object of `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.cli.figures import LABELS, is_share

Report = Mapping[str, Any]

_SHOWN_CHARACTERS = 60
_GAP = "  "


def figure_rows(report: Report) -> list[tuple[str, str]]:
    """The figures of a report as a reader wants them: a name and a value each."""
    return [(LABELS[name], _value(name, report["figures"][name]["value"])) for name in _names(report)]


def _names(report: Report) -> list[str]:
    return [name for name in LABELS if name in report["figures"]]


def confusion_rows(report: Report) -> list[list[str]]:
    """What was expected against what it became, with a row and a column of names."""
    confusion = report["confusion"]
    columns = list(next(iter(confusion.values())))
    rows = [[expect, *(str(became[column]) for column in columns)] for expect, became in confusion.items()]
    return [["expected \\ became", *columns], *rows]


def page(report: Report, *, misses: bool) -> Iterator[str]:
    """All of it, line by line."""
    of = f"{report['file']}, split {report['split']}" if report["split"] else report["file"]
    reports = [report, *report["against"]]
    engines = report["engine"] if len(reports) == 1 else f"{len(reports)} configurations"
    yield f"{of}: {report['questions']} questions, {engines}"
    yield ""
    yield from _figures(reports) if len(reports) > 1 else _figures_of_one(report)
    for one in reports:
        yield ""
        if len(reports) > 1:
            yield f"{one['config']}: {one['engine']}"
        yield from aligned(confusion_rows(one))
        if misses and one["misses"]:
            yield ""
            yield from _misses(report["file"], one["misses"])


def _figures_of_one(report: Report) -> Iterator[str]:
    rows = [["figure", "value", "95 % interval", "of"]]
    labels = [""]
    for name in _names(report):
        figure = report["figures"][name]
        rows.append([name, _value(name, figure["value"]), _interval(figure), str(figure["of"])])
        labels.append(LABELS[name])
    for line, label in zip(aligned(rows), labels, strict=True):
        yield f"{line}{_GAP}{label}".rstrip()


def _figures(reports: Sequence[Report]) -> Iterator[str]:
    """Side by side: each configuration's figures, and what every other one has more or less than the first."""
    first, *others = reports
    header = ["figure", first["config"]]
    for other in others:
        header += [other["config"], "difference"]
    rows = [header]
    for name in _names(first):
        row = [name, _with_interval(name, first["figures"][name])]
        for other in others:
            change = other["difference"].get(name)
            row += [_with_interval(name, other["figures"][name]), _change(change) if change else ""]
        rows.append(row)
    yield from (line.rstrip() for line in aligned(rows))
    yield ""
    yield "In brackets: the 95 % interval. *: the difference is more than chance, its interval leaves out 0."


def _change(change: Mapping[str, float | None]) -> str:
    value, low, high = change["value"], change["low"], change["high"]
    assert value is not None
    if low is None or high is None:
        return f"{100 * value:+.1f}"
    mark = "*" if low > 0 or high < 0 else " "
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}){mark}"


def _with_interval(name: str, figure: Mapping[str, Any]) -> str:
    interval = _interval(figure)
    return f"{_value(name, figure['value'])} ({interval})" if interval else _value(name, figure["value"])


def _interval(figure: Mapping[str, Any]) -> str:
    return "" if figure["low"] is None else f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if is_share(name):
        return f"{value:.1%}"
    return f"{value / 1000:.2f} s" if name.startswith("latency_ms") else f"{value:.3f}"


def _misses(file: str, misses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for miss in misses:
        words = " ".join(miss["question"].split())
        shown = words[:_SHOWN_CHARACTERS] + ("…" if len(words) > _SHOWN_CHARACTERS else "")
        became = "wrong answer" if miss["expect"] == miss["became"] else miss["became"]
        yield f"{file}:{miss['line']}: {miss['expect']} became {became} ({miss['confidence']}): {shown}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        _GAP.join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
