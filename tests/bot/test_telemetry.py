import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, SecretStr, ValidationError

from bot.telemetry import Metrics, bind_turn, configure, configure_logging, get_logger, register_secret

BOT_TOKEN = "123456789:AAHfiqksKZ8WmR2zSjiQ7_abcdefghijklm"


class Screen(io.StringIO):
    """Standard error as a terminal, or not."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def line(self) -> dict[str, Any]:
        (line,) = self.lines()
        return line


@pytest.fixture
def logging_to() -> Iterator[Callable[..., Screen]]:
    """Sets logging up as the command line does, and leaves no trace of it."""
    root, hook = logging.getLogger(), sys.excepthook
    level = root.level

    def set_up(**settings: Any) -> Screen:
        root.handlers.clear()  # pytest's own handlers would have their say about every line
        screen = Screen(settings.pop("terminal", False))
        configure_logging(**{"level": "info", "json": True, "redact": True, "stream": screen, **settings})
        return screen

    yield set_up
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if type(handler).__module__ == "bot.telemetry"]:
        root.removeHandler(handler)
    for name in ("bot", "adapters", "knowledge", "migrations", "kefu"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    sys.excepthook = hook
    structlog.reset_defaults()


Setup = Callable[..., Screen]


def test_a_line_is_a_json_object_with_its_fields(logging_to: Setup) -> None:
    screen = logging_to()
    get_logger("bot.turns").warning("a turn failed", turn="t1", 次数=3, paths=[Path("/a")], ok=True)
    line = screen.line()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "bot.turns",
        "event": "a turn failed",
        "turn": "t1",
        "次数": 3,
        "paths": ["/a"],
        "ok": True,
    }


@pytest.mark.parametrize(
    ("terminal", "format_", "as_json"),
    [(False, "auto", True), (True, "auto", False), (True, "json", True), (False, "text", False)],
)
def test_a_terminal_gets_text_and_a_file_json(logging_to: Setup, terminal: bool, format_: Any, as_json: bool) -> None:
    logging_to()
    screen = Screen(terminal)
    configure(level="info", format=format_, redact=True, stream=screen)
    get_logger("bot.app").info("ready", address="http://127.0.0.1:8080")
    assert screen.getvalue().startswith("{") == as_json
    assert "ready" in screen.getvalue()
    assert "http://127.0.0.1:8080" in screen.getvalue()


def test_a_level_is_a_threshold_for_our_own_lines(logging_to: Setup) -> None:
    screen = logging_to(level="warning")
    get_logger("bot.app").info("quiet")
    get_logger("knowledge.sync").warning("loud")
    assert [line["event"] for line in screen.lines()] == ["loud"]


def test_setting_up_again_writes_each_line_once(logging_to: Setup) -> None:
    first, second = logging_to(), logging_to()
    get_logger("bot").info("once")
    assert first.getvalue() == ""
    assert second.line()["event"] == "once"


def test_lines_of_libraries_take_the_same_way(logging_to: Setup) -> None:
    screen = logging_to()
    register_secret("s3cret-value")
    logging.getLogger("aiohttp.server").error("Error of %s with %s", "13812345678", "s3cret-value")
    logging.getLogger("knowledge.retriever").info("searched", extra={"collection": "default", "who": "a.b@qq.com"})
    first, second = screen.lines()
    assert first["event"] == "Error of 138****5678 with [secret]"
    assert (second["event"], second["collection"], second["who"]) == ("searched", "default", "a***@qq.com")


@pytest.mark.parametrize("level", ["info", "debug"])
def test_what_libraries_say_below_a_warning_is_not_written(logging_to: Setup, level: str) -> None:
    screen = logging_to(level=level)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        client.get(f"https://api.telegram.org/bot{BOT_TOKEN}/getMe")
    logging.getLogger("telegram.ext").debug("Processing update %s", "我的密码是")
    logging.getLogger("sqlalchemy.engine").info("INSERT ... %s", "customer's words")
    assert screen.getvalue() == ""


def test_a_registered_secret_appears_nowhere_in_a_line(logging_to: Setup) -> None:
    secret = "pa ss/wörd"
    register_secret(secret)
    screen = logging_to()
    try:
        try:
            raise ValueError(f"cannot log in with {secret}")
        except ValueError as error:
            raise RuntimeError(
                f"gave up on https://h/?p=pa%20ss/w%C3%B6rd and pa%20ss%2Fw%C3%B6rd: {secret}"
            ) from error
    except RuntimeError:
        get_logger("bot").exception(f"event with {secret}", field=secret, nested={"a": [secret, (secret,)]})
    written = screen.getvalue()
    assert "ss/w" not in written
    assert "ss%2Fw" not in written
    assert written.count("[secret]") >= 7


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"https://api.telegram.org/bot{BOT_TOKEN}/sendMessage", id="telegram"),
        pytest.param("xoxb-1234567890-abcdefghij", id="slack-bot"),
        pytest.param("xapp-1-A012-abcdef", id="slack-app"),
        pytest.param("Authorization: Bearer abcdefghijkl", id="bearer"),
        pytest.param("postgresql://kefu:hunter2@db/kefu", id="password-in-an-address"),
    ],
)
def test_what_looks_like_a_token_is_hidden_unregistered(logging_to: Setup, text: str) -> None:
    screen = logging_to(redact=False)
    get_logger("bot").info(text)
    assert "[secret]" in screen.line()["event"]
    assert not {BOT_TOKEN, "abcdefghij", "abcdef", "hunter2"} & set(screen.line()["event"].replace("/", " ").split())
    assert "AAHfiq" not in screen.getvalue()
    assert "hunter2" not in screen.getvalue()


def test_short_secrets_do_not_eat_ordinary_words(logging_to: Setup) -> None:
    register_secret("the")
    screen = logging_to()
    get_logger("bot").info("the end")
    assert screen.line()["event"] == "the end"


def test_personal_data_is_masked_unless_switched_off(logging_to: Setup) -> None:
    screen = logging_to()
    get_logger("bot").info("电话13812345678", mail="li@qq.com")
    assert "138****5678" in screen.getvalue()
    assert "l***@qq.com" in screen.getvalue()
    screen = logging_to(redact=False)
    get_logger("bot").info("电话13812345678")
    assert "13812345678" in screen.getvalue()


class Order(BaseModel):
    count: int


@dataclass
class Message:
    text: str


def test_what_objects_hold_is_not_written(logging_to: Setup) -> None:
    screen = logging_to()
    get_logger("bot").info(
        "seen",
        message=Message("我的密码是 hunter2"),
        raw=b"hunter2",
        key=SecretStr("hunter2"),
        when=datetime(2026, 1, 2, tzinfo=UTC),
        number=UUID(int=5),
        error=ValueError("first line\nhunter2"),
    )
    line = screen.line()
    assert "hunter2" not in screen.getvalue()
    assert (line["message"], line["raw"], line["key"]) == ("<Message>", "<bytes>", "<SecretStr>")
    assert line["when"] == "2026-01-02 00:00:00+00:00"
    assert line["number"] == str(UUID(int=5))
    assert line["error"] == "ValueError: first line"


def test_an_exception_shows_type_and_places_but_no_values(logging_to: Setup) -> None:
    screen = logging_to()
    password = "我的密码是 hunter2"
    try:
        Order(count=password)  # type: ignore[arg-type]
    except ValidationError:
        get_logger("bot").exception("bad order")
    described = screen.line()["exception"]
    assert described["type"].endswith("ValidationError")
    assert described["message"] == "1 validation error for Order"
    assert "test_telemetry.py" in described["stack"][0]
    assert described["stack"][0].endswith("test_an_exception_shows_type_and_places_but_no_values")
    assert "hunter2" not in screen.getvalue()


@pytest.mark.parametrize("json_lines", [True, False], ids=["json", "text"])
def test_causes_and_groups_are_told_with_masked_messages(logging_to: Setup, json_lines: bool) -> None:
    screen = logging_to(json=json_lines)
    try:
        try:
            raise KeyError("13812345678")
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError("mail a.b@qq.com\x1b[2J"), OSError(5, "disk")]) from error
    except ExceptionGroup:
        get_logger("bot").exception("failed")
    written = screen.getvalue()
    for shown in ("KeyError", "138****5678", "ValueError", "a***@qq.com", "OSError", "disk"):
        assert shown in written
    assert "13812345678" not in written
    assert "a.b@qq.com" not in written
    assert "\x1b[2J" not in written


def test_an_exception_that_runs_in_circles_ends(logging_to: Setup) -> None:
    screen = logging_to()
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    get_logger("bot").error("failed", exc_info=first)
    assert screen.line()["exception"]["message"] == "first"


def test_a_line_end_in_a_value_starts_no_line_of_its_own(logging_to: Setup) -> None:
    screen = logging_to(json=False)
    get_logger("bot").info("from\noutside", name="x\n00:00:00 [critical] hacked\x1b[31m\u2028y")
    assert screen.getvalue().count("\n") == 1
    assert "\x1b" not in screen.getvalue()
    assert "\u2028" not in screen.getvalue()


def test_long_values_are_cut_and_their_end_is_masked_too(logging_to: Setup) -> None:
    screen = logging_to()
    get_logger("bot").info("long", text="x" * 10_000, emails="zhang.san.li.si@example.com " * 500)
    line = screen.line()
    assert len(line["text"]) == len("x" * 2000 + "…")
    assert len(line["emails"]) <= 2001
    assert "zhang.san" not in line["emails"]


def test_a_line_that_can_not_be_made_hides_its_arguments(logging_to: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    screen = logging_to()
    logging.getLogger("aiohttp").error("%d", "13812345678")
    assert "could not be written" in screen.getvalue()
    assert "13812345678" not in screen.getvalue()
    assert capsys.readouterr().err == ""


def test_a_stream_that_is_gone_ends_nothing(logging_to: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    screen = logging_to()
    screen.close()
    get_logger("bot").error("nobody hears this")
    assert capsys.readouterr() == ("", "")


def test_text_that_is_no_unicode_is_written(logging_to: Setup) -> None:
    screen = logging_to()
    get_logger("bot").info("half \ud83d")
    screen.getvalue().encode()
    assert screen.line()["event"] == "half \\ud83d"


async def test_the_turn_stands_on_every_line_of_its_task_and_no_other(logging_to: Setup) -> None:
    screen = logging_to()
    log = get_logger("bot.turns")

    async def run(turn: str) -> None:
        with bind_turn(turn):
            await asyncio.sleep(0)
            log.info("step", of=turn)
            await asyncio.to_thread(logging.getLogger("knowledge").warning, "searched", extra={"of": turn})
        log.info("after", of=None)

    await asyncio.gather(run("a"), run("b"))
    lines = screen.lines()
    assert len(lines) == 6
    assert all(line.get("turn") == line["of"] for line in lines)


def test_an_uncaught_exception_is_a_masked_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from bot.telemetry import configure_logging, register_secret\n"
        "register_secret('hunter22')\n"
        "configure_logging(level='info', json=True, redact=True)\n"
        "raise RuntimeError('hunter22 13812345678')\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(root)},
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert (line["level"], line["exception"]["message"]) == ("critical", "[secret] 138****5678")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_figures_are_exposed_under_their_names() -> None:
    metrics = Metrics()
    metrics.turns.labels("answered", "telegram").inc()
    metrics.inbound.labels("web", "accepted").inc(2)
    metrics.deliveries.labels("telegram", "sent").inc()
    metrics.channel_up.labels("telegram").set(True)
    metrics.time_to_first_snapshot.observe(0.2)
    metrics.time_to_answer.observe(1.2)
    metrics.commit_seconds.observe(0.004)
    metrics.queue_depth.set(3)
    metrics.deliveries_waiting.set(4)
    metrics.unknown_deliveries.set(5)
    metrics.database_up.set(1)
    found = samples(metrics)
    assert found["kefu_turns_total", (("outcome", "answered"), ("platform", "telegram"))] == 1
    assert found["kefu_inbound_total", (("platform", "web"), ("result", "accepted"))] == 2
    assert found["kefu_deliveries_total", (("platform", "telegram"), ("result", "sent"))] == 1
    assert found["kefu_channel_up", (("platform", "telegram"),)] == 1
    assert found["kefu_queue_depth", ()] == 3
    assert found["kefu_deliveries_waiting", ()] == 4
    assert found["kefu_unknown_deliveries", ()] == 5
    assert found["kefu_database_up", ()] == 1
    assert found["kefu_time_to_first_snapshot_seconds_bucket", (("le", "0.2"),)] == 1
    assert found["kefu_time_to_answer_seconds_sum", ()] == 1.2
    assert found["kefu_commit_seconds_bucket", (("le", "0.002"),)] == 0
    assert found["kefu_commit_seconds_bucket", (("le", "0.005"),)] == 1
    assert found["process_resident_memory_bytes", ()] > 1e6


def test_two_processes_in_one_do_not_share_figures() -> None:
    first, second = Metrics(), Metrics()
    first.turns.labels("answered", "web").inc()
    assert not any(name == "kefu_turns_total" for name, _ in samples(second))


def test_labels_hold_neither_words_nor_numbers_of_customers() -> None:
    metrics = Metrics()
    metrics.inbound.labels("我的电话", "13812345678").inc()
    for number in range(1000):
        metrics.turns.labels(f"outcome{number}", "web").inc()
    found = samples(metrics)
    assert found["kefu_inbound_total", (("platform", "other"), ("result", "other"))] == 1
    turns = {labels: value for (name, labels), value in found.items() if name == "kefu_turns_total"}
    assert len(turns) == 201
    assert sum(turns.values()) == 1000


def test_a_label_too_few_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="2 labels"):
        Metrics().turns.labels("answered")
