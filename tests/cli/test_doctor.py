"""`kefu doctor`, with a Bot API on loopback and an index of the test's choice."""

import asyncio
import contextlib
import importlib.util
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import bot.answering  # noqa: F401 - now: imported in a test here, it would keep the fake index for good
from knowledge.errors import IndexMismatchError, IndexMissingError
from tests.cli.house import Called, Kefu
from tests.core.house import new_database
from tests.fakes.openai_api import FakeOpenAI, Hang, Said
from tests.fakes.slack_api import FakeSlack
from tests.fakes.telegram_api import TOKEN, FakeTelegram
from tests.redis_server import redis_server


class FakeIndex:
    """What `open_knowledge` gives, as far as the doctor looks."""

    def __init__(self) -> None:
        self.answer: int | Exception = 137

    async def check(self) -> int:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch) -> FakeIndex:
    fake = FakeIndex()

    @contextlib.asynccontextmanager
    async def open_knowledge(_: object) -> AsyncIterator[FakeIndex]:
        yield fake

    monkeypatch.setattr("knowledge.service.open_knowledge", open_knowledge)
    return fake


@contextlib.contextmanager
def beside(fake: FakeTelegram | FakeOpenAI | FakeSlack) -> Iterator[None]:
    """Runs beside the test, on a loop of its own."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        async with fake:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def telegram() -> Iterator[str]:
    """The address of a Bot API that runs beside the test."""
    fake = FakeTelegram()
    with beside(fake):
        yield fake.url


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A Slack that runs beside the test, with the settings for it."""
    fake = FakeSlack()
    with beside(fake):
        monkeypatch.setenv("KEFU_SLACK__API_URL", fake.api_url)
        monkeypatch.setenv("KEFU_SLACK__BOT_TOKEN", fake.bot_token)
        monkeypatch.setenv("KEFU_SLACK__APP_TOKEN", fake.app_token)
        yield fake


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    """A model server that runs beside the test, set as the engine."""
    fake = FakeOpenAI(Said(""), key="sk-the-right-key")
    with beside(fake):
        monkeypatch.setenv("KEFU_MODEL__BACKEND", "openai")
        monkeypatch.setenv("KEFU_MODEL__BASE_URL", fake.url)
        monkeypatch.setenv("KEFU_MODEL__API_KEY", "sk-the-right-key")
        monkeypatch.setenv("KEFU_MODEL__NAME", fake.model)
        yield fake


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Somebody who takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def of(called: Called) -> dict[str, tuple[bool, str]]:
    found = {check["name"]: (check["ok"], check["detail"]) for check in called.json["checks"]}
    assert called.json["ok"] is all(ok for ok, _ in found.values())
    assert called.status == (0 if called.json["ok"] else 1)
    return found


def test_a_fresh_machine_is_well_and_nothing_is_changed(kefu: Kefu, index: FakeIndex, tmp_path: Path) -> None:
    index.answer = IndexMissingError("nothing is indexed yet")
    called = kefu("doctor")
    assert called.status == 0
    lines = [line.split(maxsplit=2)[:2] for line in called.out.splitlines()]
    assert lines == [["ok", name] for name in ("configuration", "database", "index", "cache", "engine", "web")]
    assert list(tmp_path.iterdir()) == []


def test_a_running_house_is_described(kefu: Kefu, tmp_path: Path) -> None:
    (tmp_path / "kefu.toml").write_text("[web]\nenabled = false\n")
    (tmp_path / "data").mkdir()
    new_database(tmp_path / "data")
    found = of(kefu("doctor", "--json"))
    assert list(found) == ["configuration", "database", "index", "cache", "engine"]
    assert found["configuration"] == (True, "kefu.toml")
    assert "sound and up to date" in found["database"][1] and "write-ahead log" in found["database"][1]
    assert found["index"] == (True, "data/knowledge: 137 passages, embedder multilingual-e5-small")


def test_a_redis_that_can_not_be_used_is_named_without_its_password(
    kefu: Kefu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with redis_server(tmp_path / "redis", password="s3cret-of-the-house") as server:
        monkeypatch.setenv("KEFU_CACHE__URL", server.url)
        assert of(kefu("doctor", "--json"))["cache"] == (True, f"redis://127.0.0.1:{server.port}/0, for 3600 s")
        monkeypatch.setenv("KEFU_CACHE__URL", server.url.replace("-of-the-house", ""))
        called = kefu("doctor", "--json")
        ok, detail = of(called)["cache"]
        assert not ok and "the user or the password is refused; answers come without it" in detail
        assert "s3cret" not in called.out
    ok, detail = of(kefu("doctor", "--json"))["cache"]
    assert not ok


def test_a_mistake_in_the_settings_is_the_only_finding(kefu: Kefu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_HTTP__PROT", "1")
    found = of(kefu("doctor", "--json"))
    assert found == {"configuration": (False, 'KEFU_HTTP__PROT: there is no setting http.prot; did you mean "port"?')}


@pytest.mark.parametrize("illness", ["damaged", "older", "disk", "in the way"])
def test_an_ill_database_is_named(kefu: Kefu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, illness: str) -> None:
    if illness == "in the way":
        (tmp_path / "data").write_text("a file where the folder should be")
    else:
        (tmp_path / "data").mkdir()
        path = new_database(tmp_path / "data")
        if illness == "damaged":
            path.write_bytes(b"This is no database at all. " * 200)
        elif illness == "older":
            path.write_bytes(b"")
        else:
            monkeypatch.setattr("bot.cli.doctor.LOW_DISK_BYTES", 2**60)
    found = of(kefu("doctor", "--json"))
    assert found["database"][0] is False
    assert found["index"][0] and found["web"][0], "the rest is examined all the same"


def test_an_index_of_another_embedder_is_named(kefu: Kefu, index: FakeIndex) -> None:
    index.answer = IndexMismatchError("the index was made with bge-m3;\nkefu knowledge sync --rebuild")
    ok, detail = of(kefu("doctor", "--json"))["index"]
    assert not ok and "--rebuild" in detail and "\n" not in detail


def test_a_part_that_fails_in_a_new_way_is_a_finding_without_its_words(kefu: Kefu, index: FakeIndex) -> None:
    index.answer = RuntimeError("customer text 13800138000")
    assert of(kefu("doctor", "--json"))["index"] == (False, "fails with RuntimeError")


def test_a_model_server_is_tried_with_one_token(kefu: Kefu, model_server: FakeOpenAI) -> None:
    said = f"openai, {model_server.url} generates with {model_server.model}"
    assert of(kefu("doctor", "--json"))["engine"] == (True, said)
    assert (model_server.words, model_server.requests) == (1, [])


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        pytest.param("API_KEY", "sk-the-wrong-key", "refuses the key (401): look at model.api_key", id="key"),
        pytest.param("NAME", "qwen-other", "does not offer qwen-other: set model.name to one of qwen-test", id="name"),
        pytest.param("BASE_URL", "http://127.0.0.1:9/v1", "can not be reached: look at model.base_url", id="address"),
    ],
)
def test_a_model_server_that_does_not_work_is_named(
    kefu: Kefu, model_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"KEFU_MODEL__{setting}", value)
    called = kefu("doctor", "--json")
    ok, detail = of(called)["engine"]
    assert not ok and said in detail
    assert "sk-the" not in called.out + called.err


def test_a_model_server_that_lists_something_else_is_named(kefu: Kefu, model_server: FakeOpenAI) -> None:
    model_server.model = "qwen\x1b[31m/" + "x" * 200
    ok, detail = of(kefu("doctor", "--json"))["engine"]
    assert not ok and "qwen?" in detail and "\x1b" not in detail and len(detail) < 300


def test_a_model_server_that_hangs_is_named(
    kefu: Kefu, model_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_server.answers = [Hang()]
    monkeypatch.setattr("bot.cli.doctor.ENGINE_SECONDS", 0.5)
    assert of(kefu("doctor", "--json"))["engine"] == (False, "no answer within 0.5 s")


@pytest.mark.parametrize(
    ("module", "found"),
    [
        pytest.param("tests.functions.acme_functions.orders", (True, "order_status, cancel_order"), id="there"),
        pytest.param(
            "acme_functions_not_there",
            (
                False,
                "functions.modules: acme_functions_not_there can not be imported: "
                "No module named 'acme_functions_not_there'",
            ),
            id="missing",
        ),
    ],
)
def test_an_operators_functions_are_named(
    kefu: Kefu, monkeypatch: pytest.MonkeyPatch, module: str, found: tuple[bool, str]
) -> None:
    monkeypatch.setenv("KEFU_FUNCTIONS__MODULES", f'["{module}"]')
    assert of(kefu("doctor", "--json"))["functions"] == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param("退货, 退回去\n# x\n", (True, "{file}: 1 groups of words"), id="good"),
        pytest.param("退货\n换货\n", (False, "knowledge.synonyms: {file}:1: '退货' stands alone; "), id="mistaken"),
        pytest.param(None, (False, "knowledge.synonyms: {file}: No such file or directory"), id="missing"),
    ],
)
def test_a_file_of_synonyms_is_looked_at(
    kefu: Kefu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, found: tuple[bool, str]
) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setenv("KEFU_KNOWLEDGE__SYNONYMS", str(file))
    ok, detail = of(kefu("doctor", "--json"))["synonyms"]
    assert ok == found[0]
    assert detail.startswith(found[1].format(file=file))


def test_a_reranker_that_is_not_installed_is_named(kefu: Kefu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_KNOWLEDGE__RERANKER", "BAAI/bge-reranker-v2-m3")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    found = of(kefu("doctor", "--json"))
    assert found["reranker"] == (False, "knowledge.reranker: 'BAAI/bge-reranker-v2-m3' needs kefu[st]")
    assert found["index"][0], "which is looked at without it"


def test_an_engine_whose_model_is_missing_is_named(kefu: Kefu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setenv("KEFU_MODEL__BACKEND", "vllm")
    monkeypatch.setenv("KEFU_MODEL__NAME", str(tmp_path / "no-such-model"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else find(name))
    ok, detail = of(kefu("doctor", "--json"))["engine"]
    assert not ok and 'pip install "kefu[vllm]"' in detail
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find("json") if name == "vllm" else find(name))
    ok, detail = of(kefu("doctor", "--json"))["engine"]
    assert not ok and "no-such-model" in detail


def test_telegrams_token_is_tried(kefu: Kefu, telegram: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_TELEGRAM__API_URL", telegram)
    monkeypatch.setenv("KEFU_TELEGRAM__TOKEN", TOKEN)
    assert of(kefu("doctor", "--json"))["telegram"] == (True, "@kefu_test_bot, polling")


@pytest.mark.parametrize(
    "trouble, said",
    [("revoked", "does not know this token"), ("unreachable", "can not be reached"), ("silent", "no answer within")],
)
def test_a_token_that_does_not_work_is_named_and_not_shown(
    kefu: Kefu, telegram: str, silent_address: str, monkeypatch: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    monkeypatch.setattr("bot.cli.doctor.LIMIT_SECONDS", 1.0)
    addresses = {"revoked": telegram, "unreachable": "http://127.0.0.1:9", "silent": silent_address}
    monkeypatch.setenv("KEFU_TELEGRAM__API_URL", addresses[trouble])
    monkeypatch.setenv("KEFU_TELEGRAM__TOKEN", "700000001:AAanother-token-0123456789")
    called = kefu("doctor", "--json")
    ok, detail = of(called)["telegram"]
    assert not ok and said in detail
    assert "AAanother" not in called.out + called.err


def test_slacks_tokens_are_tried(kefu: Kefu, slack: FakeSlack) -> None:
    assert of(kefu("doctor", "--json"))["slack"] == (True, "kefu in Workspace 0KEFU, socket")
    assert slack.sockets.opened == 0, "an address for a socket is asked for, and not used"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("revoked", "Slack refuses slack.bot_token: token_revoked"),
        ("app token", "Slack refuses slack.app_token: invalid_auth"),
        ("scope", "the app lacks the scopes im:history: add them and install it again (docs/slack.md)"),
        ("unreachable", "Slack can not be reached: ClientConnectorError"),
        ("silent", "no answer within 1 s"),
    ],
)
def test_a_slack_app_that_does_not_work_is_named_and_no_token_is_shown(
    kefu: Kefu, slack: FakeSlack, silent_address: str, monkeypatch: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    monkeypatch.setattr("bot.cli.doctor.LIMIT_SECONDS", 1.0)
    match trouble:
        case "revoked":
            slack.tokens.ends("token_revoked")
        case "app token":
            monkeypatch.setenv("KEFU_SLACK__APP_TOKEN", "xapp-1-another-token")
        case "scope":
            slack.tokens.loses("im:history")
        case "unreachable":
            monkeypatch.setenv("KEFU_SLACK__API_URL", "http://127.0.0.1:9/api/")
        case "silent":
            monkeypatch.setenv("KEFU_SLACK__API_URL", f"{silent_address}/api/")
    called = kefu("doctor", "--json")
    assert of(called)["slack"] == (False, said)
    assert "xoxb-" not in called.out + called.err and "xapp-" not in called.out + called.err


def test_one_platform_that_is_silent_does_not_keep_the_others_waiting(
    kefu: Kefu, silent_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.cli.doctor.LIMIT_SECONDS", 1.0)
    monkeypatch.setenv("KEFU_TELEGRAM__API_URL", silent_address)
    monkeypatch.setenv("KEFU_TELEGRAM__TOKEN", TOKEN)
    found: dict[str, Any] = of(kefu("doctor", "--json"))
    assert found["web"][0] is True
    assert found["telegram"][0] is False


def test_a_source_that_can_not_be_read_is_named(kefu: Kefu, tmp_path: Path) -> None:
    (tmp_path / "kb").mkdir()
    (tmp_path / "kefu.toml").write_text(
        '[[knowledge.sources]]\nname = "kb"\npath = "kb"\n'
        '[[knowledge.sources]]\nname = "crm"\ndatabase = "sqlite:///crm.db"\nquery = "SELECT 1"\n'
    )
    found = of(kefu("doctor", "--json"))
    assert found["source kb"] == (True, "the folder kb")
    assert found["source crm"] == (False, "crm: there is no file crm.db")
