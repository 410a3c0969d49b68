"""What the process says about itself: log lines and figures, without secrets and without people's data.

Nothing is set up at import: the command line calls `configure` once. Every line, ours and a library's, runs through one
chain whose last step before writing takes out registered secrets, what looks like a token, and personal data. Of an
exception the type, the masked first line and the places are written: never the source, never local values.
"""

import json as json_module
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import TracebackType
from typing import Any, Generic, Literal, TextIO, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from bot.privacy import Redactor

EventDict = MutableMapping[str, Any]

_OURS = ("bot", "adapters", "knowledge", "migrations", "kefu")
_OWN_KEYS = frozenset({"timestamp", "level", "logger"})
_LONGEST_TEXT = 2000
_LONGEST_MESSAGE = 300
_TORN = 100
_DEEPEST = 6
_SHORTEST_SECRET = 6
_HIDDEN = "[secret]"

# Tokens nobody registered: Telegram's (also inside an address), Slack's, bearer tokens, passwords in addresses.
_TOKEN = re.compile(
    r"(?<![0-9])[0-9]{6,12}:[A-Za-z0-9_-]{30,}"
    r"|xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}"
    r"|(?i:bearer )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^\s/@:]{0,64}:[^\s/@]{1,128}(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


# Logs


def configure(
    *,
    level: str,
    format: Literal["auto", "text", "json"],  # noqa: A002 - the setting's name
    redact: bool,
    stream: TextIO | None = None,
) -> None:
    """Sets logging up as the settings `log` and `privacy.redact` say; "auto" is text on a terminal, else JSON."""
    target = stream or sys.stderr
    as_json = not target.isatty() if format == "auto" else format == "json"
    configure_logging(level=level, json=as_json, redact=redact, stream=target)


def configure_logging(*, level: str, json: bool, redact: bool, stream: TextIO | None = None) -> None:
    """Sends every line to `stream` (standard error), one JSON object a line or readable text.

    `level` ("debug" to "error") is for our own loggers; libraries are heard from WARNING on, because below it some log
    addresses that hold tokens, or what customers wrote. Calling it again replaces what was set up before.
    """
    target = stream or sys.stderr
    masking = _Masking(Redactor(enabled=redact))
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _timestamp(json),
    ]
    render = _json_line if json else structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=30)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Exceptions(masking, as_text=not json),
            _Scrubber(masking, one_line=not json),
            cast("structlog.types.Processor", render),
        ],
    )
    _install(_Handler(target), formatter, level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines are events with fields: ``log.warning("a turn failed", turn=turn.id)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind_turn(turn_id: str) -> AbstractContextManager[None]:
    """Puts ``turn=turn_id`` on every line that is logged inside, also by tasks and threads started there."""
    return structlog.contextvars.bound_contextvars(turn=turn_id)


def register_secret(value: str) -> None:
    """Has `value` replaced wherever it appears in a log line from now on, also in its form inside an address.

    Values of fewer than 6 characters are left alone: they would turn up in ordinary words.
    """
    _secrets.add(value)


class _Secrets:
    """The known secrets, and one pattern that finds them all."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        if len(value) < _SHORTEST_SECRET:
            return
        self._forms |= {value, quote(value), quote(value, safe="")}
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, text: str) -> str:
        known = self._pattern.sub(_HIDDEN, text) if self._pattern else text
        return _TOKEN.sub(_HIDDEN, known)


# Of the process, as the logging module's own configuration is.
_secrets = _Secrets()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that can not be made or written is replaced by a fixed text, or dropped."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - overrides logging's name
        # logging's own way is to print the arguments of the record, unmasked.
        try:
            self.stream.write(f"a log line of {record.name} at {record.lineno} could not be written\n")
        except (OSError, ValueError):
            return


def _install(handler: logging.Handler, formatter: logging.Formatter, level: str) -> None:
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger("kefu").critical("the process ends with an error", exc_info=(kind, error, traceback))


def _timestamp(json: bool) -> structlog.types.Processor:
    if json:
        return structlog.processors.TimeStamper(fmt="iso", utc=True)
    return structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)


def _json_line(_logger: object, _method: str, event: EventDict) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "logger", "event") if key in event}
    return json_module.dumps({**first, **event}, ensure_ascii=False)


class _Masking:
    """Takes secrets and personal data out of a text, and bounds its length."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, text: str, longest: int = _LONGEST_TEXT) -> str:
        text = _secrets.hide(text.encode("utf-8", "backslashreplace").decode())
        masked = self._redactor.redact(text[: 2 * _LONGEST_TEXT])
        # A number that this cut has torn is not recognised: it must not be what the end shows.
        whole = masked if len(text) <= 2 * _LONGEST_TEXT else masked[:-_TORN]
        return masked if len(whole) == len(masked) <= longest else whole[:longest] + "…"


class _Exceptions:
    """Turns `exc_info` into the exception's type, first line and places.

    The source is not shown, because reading it would block the event loop; nor what follows the first line, because
    there libraries put the values that were wrong (pydantic, SQLAlchemy).
    """

    def __init__(self, masking: _Masking, *, as_text: bool) -> None:
        self._masking = masking
        self._as_text = as_text

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        found = event.pop("exc_info", None)
        for key in ("stack_info", "stack"):
            event.pop(key, None)
        error = found if isinstance(found, BaseException) else found[1] if isinstance(found, tuple) else None
        if found is True:
            error = sys.exc_info()[1]
        if error is not None:
            described = self._described(error)
            event["exception"] = _as_text(described) if self._as_text else described
        return event

    def _described(self, error: BaseException, depth: int = 0) -> dict[str, Any]:
        lines = str(error).strip().splitlines() or [""]
        described: dict[str, Any] = {
            "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
            "message": _escape_controls(self._masking(lines[0], _LONGEST_MESSAGE)),
            "stack": _places(error.__traceback__),
        }
        if depth < _DEEPEST:
            cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
            if cause is not None:
                described["cause"] = self._described(cause, depth + 1)
            if isinstance(error, BaseExceptionGroup):
                described["group"] = [self._described(inner, depth + 1) for inner in error.exceptions[:5]]
        return described


def _escape_controls(text: str) -> str:
    # A line end in a value would look like a log line of its own.
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _places(traceback: TracebackType | None) -> list[str]:
    """The last places, the innermost last: ``path:line function``."""
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-20:]


def _as_text(described: Mapping[str, Any], indent: str = "") -> str:
    lines = [f"{indent}{described['type']}: {described['message']}"]
    lines += [f"{indent}  at {place}" for place in described["stack"]]
    if "cause" in described:
        lines += [f"{indent}because of", _as_text(described["cause"], indent)]
    for inner in described.get("group", ()):
        lines += [f"{indent}with", _as_text(inner, indent + "  ")]
    return "\n".join(lines)


class _Scrubber:
    """Makes every value plain, and takes secrets and personal data out of it. The last step before writing."""

    def __init__(self, masking: _Masking, *, one_line: bool) -> None:
        self._masking = masking
        self._one_line = one_line

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            if key not in _OWN_KEYS:
                event[key] = self._plain(value, one_line=self._one_line and key != "exception")
        return event

    def _plain(self, value: object, *, one_line: bool, depth: int = 0) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self._text(value, one_line)
            case Enum():
                return self._plain(value.value, one_line=one_line, depth=depth + 1)
            case PurePath() | UUID() | Decimal() | date() | time():
                return self._text(str(value), one_line)
            case BaseException():
                return self._text(f"{type(value).__name__}: {value}".splitlines()[0], one_line)
            case Mapping() if depth < _DEEPEST:
                return {
                    str(key): self._plain(inner, one_line=one_line, depth=depth + 1) for key, inner in value.items()
                }
            case Sequence() | set() | frozenset() if depth < _DEEPEST and not isinstance(value, bytes | bytearray):
                return [self._plain(inner, one_line=one_line, depth=depth + 1) for inner in value]
        # What an object says of itself may be what a customer said.
        return f"<{type(value).__name__}>"

    def _text(self, text: str, one_line: bool) -> str:
        masked = self._masking(text)
        return _escape_controls(masked) if one_line else masked


# Figures

_LABEL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MOST_LABEL_SETS = 200
_MetricT = TypeVar("_MetricT", Counter, Gauge)


class Labelled(Generic[_MetricT]):
    """A metric with labels that no caller can grow without end, or fill with somebody's words."""

    def __init__(self, metric: _MetricT, names: Sequence[str]) -> None:
        self._metric: _MetricT = metric
        self._names = len(names)
        self._seen: set[tuple[str, ...]] = set()

    def labels(self, *values: object) -> _MetricT:
        """The child for these values, in the order of the names.

        A value that is no short lower-case word counts as "other", and so does every one after the first 200
        combinations.
        """
        if len(values) != self._names:
            raise ValueError(f"{self._names} labels are needed, not {len(values)}")
        key = tuple(str(value) if _LABEL.fullmatch(str(value)) else "other" for value in values)
        if key not in self._seen and len(self._seen) >= _MOST_LABEL_SETS:
            key = ("other",) * self._names
        self._seen.add(key)
        child: _MetricT = self._metric.labels(*key)
        return child


class Metrics:
    """The figures of one process, in a registry of their own. Times are in seconds.

    `inbound` results: accepted, duplicate, shed, edit; `deliveries` results: sent, retried, unknown, failed.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.turns = self._counter("kefu_turns", "Turns that ended.", ("outcome", "platform"))
        self.inbound = self._counter("kefu_inbound", "Messages that came in.", ("platform", "result"))
        self.deliveries = self._counter("kefu_deliveries", "Attempts to deliver a reply.", ("platform", "result"))
        self.channel_up = Labelled(
            Gauge("kefu_channel_up", "Whether the channel receives.", ("platform",), registry=registry), ("platform",)
        )
        self.time_to_first_snapshot = Histogram(
            "kefu_time_to_first_snapshot_seconds",
            "From a turn's start to the first words shown.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30),
            registry=registry,
        )
        self.time_to_answer = Histogram(
            "kefu_time_to_answer_seconds",
            "From a turn's start to its stored reply.",
            buckets=(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60),
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "kefu_commit_seconds",
            "From a write's arrival to its commit.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.queue_depth = Gauge("kefu_queue_depth", "Messages waiting for their turn.", registry=registry)
        self.deliveries_waiting = Gauge(
            "kefu_deliveries_waiting", "Replies that wait to be delivered.", registry=registry
        )
        self.unknown_deliveries = Gauge(
            "kefu_unknown_deliveries", "Replies of which nobody knows whether they arrived.", registry=registry
        )
        self.engine_up = Gauge("kefu_engine_up", "Whether the model answers.", registry=registry)
        self.engine_reloads = Counter("kefu_engine_reloads", "Times the model was loaded again.", registry=registry)
        self.engine_running = Gauge("kefu_engine_running", "Outputs the engine is working on.", registry=registry)
        self.engine_waiting = Gauge("kefu_engine_waiting", "Outputs that wait for the engine.", registry=registry)
        self.engine_tokens = Labelled(
            Counter(
                "kefu_engine_tokens",
                "Tokens: read from prompts, of those found in the prefix cache, and written.",
                ("kind",),
                registry=registry,
            ),
            ("kind",),
        )
        self.engine_rewritings = Labelled(
            Counter(
                "kefu_engine_rewritings",
                "Follow-ups the engine was to rewrite for the search: done, late, busy, failed.",
                ("became",),
                registry=registry,
            ),
            ("became",),
        )
        self.source_last_success = Labelled(
            Gauge(
                "kefu_source_last_success_timestamp_seconds",
                "When the source of knowledge was last read and indexed.",
                ("source",),
                registry=registry,
            ),
            ("source",),
        )
        self.source_problems = Labelled(
            Gauge(
                "kefu_source_problems",
                "What of the source could not be read the last time.",
                ("source",),
                registry=registry,
            ),
            ("source",),
        )
        self.index_whole = Gauge(
            "kefu_knowledge_index_whole",
            "1 while the knowledge is searched by meaning and words, 0 while its index is made anew.",
            registry=registry,
        )
        self.cache_hits = Labelled(
            Counter("kefu_cache_hits", "Searches answered from the cache.", ("layer",), registry=registry), ("layer",)
        )
        self.cache_misses = Counter("kefu_cache_misses", "Searches that the cache had not.", registry=registry)
        self.cache_failures = Counter(
            "kefu_cache_failures", "Times Redis did not do what the cache asked of it.", registry=registry
        )
        self.cache_up = Gauge("kefu_cache_up", "Whether the cache can be used.", registry=registry)
        self.database_up = Gauge("kefu_database_up", "Whether the database commits.", registry=registry)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4. Reads `/proc`, so it belongs in a thread."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, names: tuple[str, str]) -> Labelled[Counter]:
        return Labelled(Counter(name, text, names, registry=self.registry), names)
