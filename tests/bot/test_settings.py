import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.errors import SettingsError
from bot.sections import CacheSettings
from bot.settings import Settings, all_sections, load_settings

CONTRACT: dict[str, dict[str, object]] = {
    "http": {"host": "127.0.0.1", "port": 8080, "public_url": ""},
    "database": {"url": "sqlite+aiosqlite:///data/kefu.db"},
    "cache": {"url": "memory://", "ttl_seconds": 3600},
    "knowledge": {"uri": "data/knowledge", "embedder": "multilingual-e5-small", "reranker": "", "top_k": 5},
    "model": {
        "backend": "extractive",
        "name": "Qwen/Qwen2.5-7B-Instruct",
        "base_url": "",
        "api_key": "",
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 1024,
        "timeout_seconds": 60,
        "max_concurrency": 0,
        "fallback": "extractive",
        "max_model_len": 0,
        "gpu_memory_utilization": 0.9,
        "tensor_parallel_size": 1,
        "quantization": "",
        "dtype": "auto",
        "enforce_eager": False,
    },
    "dialogue": {
        "history_turns": 6,
        "history_tokens": 2000,
        "max_answer_chars": 150,
        "min_confidence": 0.5,
        "language": "auto",
        "refusal": "",
        "persona": "",
    },
    "tickets": {"prefix": "TICKET", "notify": (), "sla_hours": 24},
    "functions": {"modules": ()},
    "limits": {
        "user_per_minute": 20,
        "queue_per_conversation": 20,
        "queue_total": 2000,
        "max_message_chars": 4000,
        "max_body_bytes": 1048576,
    },
    "privacy": {"retention_days": 0, "redact": True},
    "admin": {"token": ""},
    "telegram": {
        "token": "",
        "api_url": "https://api.telegram.org",
        "transport": "polling",
        "webhook_url": "",
        "webhook_secret": "",
        "collections": ("default",),
    },
    "web": {"enabled": True, "collections": ("default",), "allowed_origins": ()},
}
SECRETS = {"model.api_key", "admin.token", "telegram.token", "telegram.webhook_secret"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "kefu.toml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def said_of(environ: dict[str, str] | None = None, config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(config, environ or {})
    line = str(refused.value)
    assert "\n" not in line
    return line


def section_of(settings: Settings, name: str) -> Any:
    return settings.channels[name] if name in settings.channels else getattr(settings, name)


@pytest.mark.parametrize("section, key, default", [(s, k, d) for s, keys in CONTRACT.items() for k, d in keys.items()])
def test_a_fresh_machine_has_the_defaults_of_the_contract(section: str, key: str, default: object) -> None:
    value = getattr(section_of(load_settings(None, {}), section), key)
    if f"{section}.{key}" in SECRETS:
        assert isinstance(value, SecretStr)
        value = value.get_secret_value()
    assert value == default
    assert type(value) is type(default) or isinstance(default, int)


def test_every_section_has_only_lower_case_keys_and_no_double_underscore() -> None:
    # Otherwise the environment could not name them.
    for section, model in all_sections().items():
        for key in model.model_fields:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", key), f"{section}.{key}"


def test_the_environment_stands_over_the_file(written: Any) -> None:
    written(
        """\
        [http]
        port = 9000
        host = "0.0.0.0"
        [web]
        collections = ["default", "shop"]
        """
    )
    settings = load_settings(None, {"KEFU_HTTP__PORT": "9001", "KEFU_WEB__COLLECTIONS": '["公开"]', "HOME": "/"})
    assert (settings.http.port, settings.http.host) == (9001, "0.0.0.0")
    assert settings.channels["web"].collections == ("公开",)  # type: ignore[attr-defined]
    assert settings.file == Path("kefu.toml")


@pytest.mark.parametrize(
    "config, environ, port",
    [
        (None, {}, 1),
        (None, {"KEFU_CONFIG": "other.toml"}, 2),
        (Path("third.toml"), {"KEFU_CONFIG": "other.toml"}, 3),
    ],
    ids=["found here", "KEFU_CONFIG", "--config"],
)
def test_the_file_that_is_read(written: Any, config: Path | None, environ: dict[str, str], port: int) -> None:
    for number, name in enumerate(("kefu.toml", "other.toml", "third.toml"), start=1):
        written(f"[http]\nport = {number}", name)
    assert load_settings(config, environ).http.port == port


def test_a_named_file_that_is_not_there_is_an_error(written: Any) -> None:
    assert said_of({"KEFU_CONFIG": "gone.toml"}) == "gone.toml: there is no such file"


MISTAKES = {
    "unknown key": ("[http]\nhost = 'a'\nprot = 1\n", ':3: there is no setting http.prot; did you mean "port"?'),
    "unknown section": ("[htp]\n", ':1: there is no section htp; did you mean "http"?'),
    "key of another section": (
        "[web]\ntop_k = 3\n",
        ":2: there is no setting web.top_k; did you mean knowledge.top_k?",
    ),
    "outside": ("port = 3\n", ":1: the key port stands outside every section; it belongs in [http]"),
    "text for number": ('[http]\nport = "8080"\n', ":2: http.port must be a whole number"),
    "truth for number": ("[http]\nport = true\n", ":2: http.port must be a whole number"),
    "number for truth": ("[privacy]\nredact = 1\n", ":2: privacy.redact must be true or false"),
    "fraction": ("[http]\nport = 80.5\n", ":2: http.port must be a whole number, not 80.5"),
    "number for text": ("[http]\nhost = 5\n", ":2: http.host must be text in quotes"),
    "text for list": (
        '[web]\ncollections = "a"\n',
        ":2: web.collections must be a list such as [\"default\"], not 'a'",
    ),
    "list of numbers": (
        "[web]\ncollections = [1]\n",
        ':2: web.collections must be a list of texts such as ["default"]',
    ),
    "too large": ("[http]\nport = 70000\n", ":2: http.port must be at most 65535, not 70000"),
    "not a number": ("[model]\ntop_p = nan\n", ":2: model.top_p must be a finite number, not nan"),
    "choice": ("[model]\nbackend = 'gpt'\n", ":2: model.backend must be 'extractive', 'vllm' or 'openai', not 'gpt'"),
    "section as value": ("http = 3\n", ":1: http must be a section: [http]"),
    "date": ("[http]\nhost = 2026-01-01\n", ":2: http.host must be text in quotes"),
    "half a server": ("[model]\nbackend = 'openai'\n", ':1: model.base_url is needed when model.backend is "openai"'),
    "prefix": ("[tickets]\nprefix = 'a b'\n", ":2: tickets.prefix must match ^[A-Z][A-Z0-9]{0,15}$, not 'a b'"),
    "no address": (
        "[tickets]\nnotify = ['me']\n",
        ':2: tickets.notify must be a list of channel addresses such as "telegram:-1001234567890"',
    ),
    "no module": (
        "[functions]\nmodules = ['acme/orders.py']\n",
        ':2: functions.modules must be a list of Python modules such as "acme_functions.orders"',
    ),
    "a channel of several workspaces": (
        "[tickets]\nnotify = ['slack:C1']\n[slack]\nclient_id = '1.2'\nclient_secret = 'a-client-secret-of-nobody'\n"
        "signing_secret = 'a-signing-secret-of-nobody'\ntoken_key = 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='\n",
        ":2: tickets.notify: slack serves several workspaces, so operators are told on another channel",
    ),
    "no channel": ("[tickets]\nnotify = ['http:C1']\n", ":2: tickets.notify: the channel http does not exist"),
    "database": (
        "[database]\nurl = 'mysql://u:hunter2@h'\n",
        ':2: database.url must start with "sqlite+aiosqlite:///" or "postgresql+psycopg://"',
    ),
    "two": ("[http]\nport = -1\nhost = ''\n", ":3: http.host must not be empty, not '' (and 1 more)"),
    "dotted": ("http.port = 70000\n", ":1: http.port must be at most 65535, not 70000"),
    "inline": ("http = { port = 70000 }\n", ":1: http.port must be at most 65535, not 70000"),
}


@pytest.mark.parametrize("text, line", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_file_is_one_line_that_says_where(written: Any, text: str, line: str) -> None:
    written(text)
    assert said_of() == f"kefu.toml{line}"


ENVIRONMENT_MISTAKES = {
    "unknown key": ("KEFU_HTTP__PROT", "1", 'KEFU_HTTP__PROT: there is no setting http.prot; did you mean "port"?'),
    "unknown section": ("KEFU_WEBB__ENABLED", "1", 'KEFU_WEBB__ENABLED: there is no section webb; did you mean "web"?'),
    "one underscore": (
        "KEFU_HTTP_PORT",
        "1",
        "KEFU_HTTP_PORT: there is no such setting; did you mean KEFU_HTTP__PORT?",
    ),
    "unknown": ("KEFU_XYZZY", "1", "KEFU_XYZZY: there is no such setting; settings are KEFU_<SECTION>__<KEY>"),
    "type": ("KEFU_HTTP__PORT", "many", "KEFU_HTTP__PORT: http.port must be a whole number, not 'many'"),
    "empty": ("KEFU_HTTP__PORT", "", "KEFU_HTTP__PORT: http.port must be a whole number, not ''"),
    "truth": ("KEFU_WEB__ENABLED", "perhaps", "KEFU_WEB__ENABLED: web.enabled must be true or false, not 'perhaps'"),
    "list": ("KEFU_WEB__COLLECTIONS", "default", 'KEFU_WEB__COLLECTIONS: must be a JSON list such as ["default"]'),
    "object": ("KEFU_WEB__COLLECTIONS", "{}", 'KEFU_WEB__COLLECTIONS: must be a JSON list such as ["default"]'),
    "half": (
        "KEFU_MODEL__BACKEND",
        "openai",
        'KEFU_MODEL__BACKEND: model.base_url is needed when model.backend is "openai"',
    ),
}


@pytest.mark.parametrize("variable, text, line", ENVIRONMENT_MISTAKES.values(), ids=ENVIRONMENT_MISTAKES.keys())
def test_a_mistake_in_the_environment_is_one_line_that_names_it(
    written: Any, variable: str, text: str, line: str
) -> None:
    assert said_of({variable: text}) == line


@pytest.mark.parametrize(
    "environ",
    [
        {"KEFU_TELEGRAM__WEBHOOK_SECRET": "s3cret-s3cret"},
        {"KEFU_TELEGRAM__TOKEN": "s3cret-s3cret"},
        {"KEFU_TELEGRAM__TOKEN": "1:s3crets3cret", "KEFU_TELEGRAM__TRANSPORT": "webhook"},
        {"KEFU_ADMIN__TOKEN": "s3cret s3cret"},
        {"KEFU_DATABASE__URL": "mysql://root:s3cret@db/kefu"},
        {"KEFU_TELEGRAM__TOKENS": "s3cret-s3cret"},
    ],
    ids=lambda environ: "+".join(environ),
)
def test_a_mistake_with_a_secret_names_the_key_and_not_the_secret(written: Any, environ: dict[str, str]) -> None:
    line = said_of(environ)
    assert "s3cret" not in line
    assert re.search(r"telegram|admin\.token|database\.url", line)


@pytest.mark.parametrize(
    "text",
    ['[admin]\ntoken = "s3cret', "[admin]\ntoken = s3cret-s3cret\n", "[[s3cret]]\n[s3cret]\n"],
    ids=["open quote", "no quotes", "twice"],
)
def test_toml_that_can_not_be_read_names_the_line_only(written: Any, text: str) -> None:
    written(text)
    line = said_of()
    assert re.fullmatch(r"kefu\.toml:\d+: is not valid TOML", line)


def test_a_file_in_another_encoding_is_named(written: Any, tmp_path: Path) -> None:
    (tmp_path / "kefu.toml").write_bytes("[dialogue]\nrefusal = '抱歉'".encode("gbk"))
    assert said_of() == "kefu.toml: is not UTF-8 text"
    (tmp_path / "kefu.toml").write_bytes("[dialogue]\nrefusal = '抱歉'".encode("utf-8-sig"))
    assert load_settings(None, {}).dialogue.refusal == "抱歉"


def test_settings_show_no_secret_and_can_not_be_changed() -> None:
    settings = load_settings(
        None,
        {
            "KEFU_ADMIN__TOKEN": "s3cret",
            "KEFU_MODEL__API_KEY": "s3cret",
            "KEFU_DATABASE__URL": "postgresql+psycopg://kefu:s3cret@db/kefu",
            "KEFU_TELEGRAM__TOKEN": "123:s3cret-s3cret",
        },
    )
    settings = replace(settings, cache=CacheSettings(url="redis://:s3cret@cache"))
    assert "s3cret" not in repr(settings) + str(settings)
    with pytest.raises(AttributeError):
        settings.http = settings.http  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.http.port = 1


@pytest.mark.parametrize(
    "address",
    ["redis://cache", "redis://:p%40ss@cache:6380/3", "rediss://kefu:s3cret@cache.example", "redis://[::1]:1/"],
)
def test_a_cache_may_be_in_redis(address: str) -> None:
    assert load_settings(None, {"KEFU_CACHE__URL": address}).cache.url == address


@pytest.mark.parametrize(
    "address",
    [
        *("memory", "memory://x", "http://cache", "redis://", "redis:///0", "redis://:s3cret@cache:port"),
        *("redis://cache/x", "redis://:s3cret@cache/0?db=1", "redis://cache:0"),
    ],
)
def test_what_is_no_address_of_a_cache_is_refused_and_not_repeated(address: str) -> None:
    line = said_of({"KEFU_CACHE__URL": address})
    assert line.startswith("KEFU_CACHE__URL: cache.url must be") and "s3cret" not in line


@pytest.mark.parametrize(
    "environ",
    [
        {"KEFU_PRIVACY__RETENTION_DAYS": "30"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_what_this_version_would_ignore_is_refused(environ: dict[str, str]) -> None:
    line = said_of(environ)
    assert line.startswith(next(iter(environ)))
    assert "in this version" in line and "s3cret" not in line


@pytest.mark.parametrize("environ, on", [({}, False), ({"KEFU_TELEGRAM__TOKEN": "123:abcdefghijkl"}, True)])
def test_a_channel_is_on_when_its_credentials_are_set(environ: dict[str, str], on: bool) -> None:
    assert load_settings(None, environ).channels["telegram"].on is on


def test_a_new_platform_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import adapters

    package = tmp_path / "pigeon"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(
        "import pydantic\nSECTION = 'pigeon'\n"
        "class ChannelSettings(pydantic.BaseModel):\n"
        "    model_config = pydantic.ConfigDict(frozen=True, extra='forbid')\n"
        "    ring: int = 0\n"
        "    @property\n"
        "    def on(self): return self.ring > 0\n"
    )
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path)])
    settings = load_settings(None, {"KEFU_PIGEON__RING": "7"})
    assert settings.channels["pigeon"].on
    for name in [name for name in sys.modules if name.startswith("adapters.pigeon")]:
        monkeypatch.delitem(sys.modules, name)


def test_importing_the_settings_reads_nothing_and_brings_no_server() -> None:
    code = "import sys, bot.settings; print(sorted({'aiohttp', 'telegram', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    environ = {"KEFU_NONSENSE": "1", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
