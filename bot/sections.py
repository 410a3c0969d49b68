"""The sections of kefu.toml: every key, its default, its range and its meaning. The sentence under a key is what
`kefu init` writes above it.

Channels bring their own sections (`adapters/<platform>/settings.py`); `bot.settings` puts them beside these.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bot.section import Section
from bot.source_settings import SourceSettings, read_sources

_ADDRESS = re.compile(r"[a-z][a-z0-9_]*:\S*")

Percentage: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an address that starts with http:// or https://")
    return value.rstrip("/")


def _server_address(value: str) -> str:
    parts = urlsplit(_web_address(value))
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password; the server's key is a setting of its own")
    if parts.query or parts.fragment:
        raise ValueError('must end with its path, such as "/v1"')
    return _web_address(value)


def _database_address(value: str) -> str:
    if not value.startswith(("sqlite+aiosqlite:///", "postgresql+psycopg://")):
        raise ValueError('must start with "sqlite+aiosqlite:///" or "postgresql+psycopg://"')
    return value


def _cache_address(value: str) -> str:
    if value == "memory://":
        return value
    if not value.startswith(("redis://", "rediss://")):
        raise ValueError('must be "memory://", or start with "redis://" or "rediss://"')
    if not _is_redis(value):
        raise ValueError('must be like "redis://user:password@host:6379/0"')
    return value


def _is_redis(address: str) -> bool:
    try:
        parts = urlsplit(address)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        return False
    return named and re.fullmatch(r"(/\d{0,5})?", parts.path) is not None and not parts.query and not parts.fragment


def _device(value: str) -> str:
    if not re.fullmatch(r"|cpu|mps|(cuda|xpu|npu)(:\d{1,3})?", value):
        raise ValueError('must be "cpu", "cuda", "cuda:1" or the like, or ""')
    return value


def _channel_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _ADDRESS.fullmatch(value):
            raise ValueError('must be a list of channel addresses such as "telegram:-1001234567890"')
    return values


def _module_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not all(part.isidentifier() for part in value.split(".")):
            raise ValueError('must be a list of Python modules such as "acme_functions.orders"')
    return values


def _header_safe(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
        raise ValueError("must be ASCII letters, digits and signs without spaces: it travels in an HTTP header")
    return value


class HttpSettings(Section):
    """The product's own HTTP server: web chat, platforms' callbacks, tickets API, health."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Where to listen; "0.0.0.0" for every interface (put a proxy that speaks TLS in front)."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes any free port."""
    public_url: Annotated[str, AfterValidator(_web_address)] = ""
    """How customers' browsers and the platforms reach this server, e.g. "https://help.example.com"."""


class DatabaseSettings(Section):
    """Where messages, turns, tickets and deliveries are kept."""

    url: Annotated[str, AfterValidator(_database_address)] = Field(
        default="sqlite+aiosqlite:///data/kefu.db", repr=False
    )
    """A SQLite file (relative to the current directory; four slashes for an absolute path), or
    "postgresql+psycopg://user:password@host/name"."""


class CacheSettings(Section):
    """Where found passages are remembered for a while: the same question need not be searched twice. What a sync
    changes is never answered from it."""

    url: Annotated[str, AfterValidator(_cache_address)] = Field(default="memory://", repr=False)
    """ "memory://" (this process), or "redis://user:password@host:6379/0" ("rediss://…" over TLS), shared by several
    replicas and kept over a restart; needs kefu[redis]. While it is down, answers come without it."""
    ttl_seconds: int = Field(default=3600, ge=0)
    """How long; 0 remembers nothing."""


class KnowledgeSettings(Section):
    """The company's knowledge and how it is searched."""

    uri: str = Field(default="data/knowledge", min_length=1)
    """The index: a folder (relative to the current directory) or any LanceDB address."""
    embedder: str = Field(default="multilingual-e5-small", min_length=1)
    """ "multilingual-e5-small" (embedded), "use-multilingual" (embedded, weaker, five times faster), a
    sentence-transformers name or path such as "BAAI/bge-m3", or "openai:<model>". After a change:
    `kefu knowledge sync --rebuild`."""
    device: Annotated[str, AfterValidator(_device)] = ""
    """Where sentence-transformers models compute: "cpu", "cuda", "cuda:1"; "" is the graphics card if there is one."""
    embedder_url: Annotated[str, AfterValidator(_server_address)] = Field(default="", repr=False)
    """For "openai:<model>": the embeddings server, e.g. "http://127.0.0.1:8001/v1"; "" is model.base_url."""
    embedder_key: Annotated[SecretStr, AfterValidator(_header_safe)] = SecretStr("")
    """Its key, if it wants one; "" is model.api_key where embedder_url is "" too."""
    reranker: str = ""
    """Sorts the found passages once more, e.g. "BAAI/bge-reranker-v2-m3", on a graphics card; "" for none."""
    synonyms: str = ""
    """A file of words that customers use for those of the knowledge, e.g. "synonyms.txt", see docs/knowledge.md; "" for
    none."""
    top_k: int = Field(default=5, ge=1, le=50)
    """How many passages an answer may be drawn from."""
    keep_versions: int = Field(default=10, ge=1, le=1000)
    """How many versions of the knowledge can be looked at and rolled back to, the newest included. What only older ones
    had is deleted; 1 keeps no past."""
    allow_private_addresses: bool = False
    """Whether websites that are sources may stand in the company's own network."""
    sources: Annotated[tuple[SourceSettings, ...], BeforeValidator(read_sources)] = ()
    """What `kefu run` keeps in sync: a [[knowledge.sources]] for each, see docs/knowledge.md."""


_VLLM_KEYS = ("max_model_len", "gpu_memory_utilization", "quantization", "dtype", "enforce_eager")
_KEPT_FROM_OPERATORS = {"trust_remote_code", "enable_log_requests", "structured_outputs_config", "disable_log_stats"}


class ModelSettings(Section):
    """What words the answers."""

    backend: Literal["extractive", "vllm", "openai"] = "extractive"
    """ "extractive" (no model: the best passage's own words), "vllm" (a model in this process) or "openai" (any
    compatible server)."""
    name: str = Field(default="Qwen/Qwen2.5-7B-Instruct", min_length=1)
    """The model's name, or a local path."""
    base_url: Annotated[str, AfterValidator(_server_address)] = Field(default="", repr=False)
    """The server's address for "openai", e.g. "http://127.0.0.1:8000/v1"."""
    api_key: Annotated[SecretStr, AfterValidator(_header_safe)] = SecretStr("")
    """The server's key for "openai", if it wants one."""
    temperature: float = Field(default=0.3, ge=0.0, le=2.0)
    """0 always words an answer the same way."""
    top_p: float = Field(default=0.9, gt=0.0, le=1.0)
    """The share of likely words the model chooses from."""
    max_tokens: int = Field(default=1024, ge=16, le=32768)
    """The longest output of one generation."""
    timeout_seconds: float = Field(default=60.0, gt=0.0, le=600.0)
    """How long one generation may take before the fallback answers."""
    max_concurrency: int = Field(default=0, ge=0)
    """How many generations at once; 0 leaves it to the engine. One that finds no place within 5 s is refused."""
    fallback: Literal["extractive", ""] = "extractive"
    """What answers while the engine is down; "" refuses politely instead."""
    max_model_len: int = Field(default=0, ge=0)
    """The longest prompt and output together, in tokens; 0 for the model's own (openai: what the server says, else
    8192)."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0.0, le=1.0)
    """vllm: the share of the GPU's memory it may take."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """vllm: over how many GPUs the model is spread."""
    quantization: str = ""
    """vllm: e.g. "awq"; "" reads it from the model."""
    dtype: str = Field(default="auto", min_length=1)
    """vllm: "auto", "bfloat16", "float16" or "float32"."""
    enforce_eager: bool = False
    """vllm: no CUDA graphs; starts faster, runs slower."""
    hub: Literal["huggingface", "modelscope"] = "huggingface"
    """vllm: where a name that is no local path is fetched from; "modelscope" needs the package modelscope."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """vllm: any other argument of its engine, e.g. { max_num_seqs = 64, kv_cache_dtype = "fp8" }."""

    @model_validator(mode="after")
    def _server_has_address(self) -> ModelSettings:
        if self.backend == "openai" and not self.base_url:
            raise ValueError('model.base_url is needed when model.backend is "openai"')
        return self

    @model_validator(mode="after")
    def _engine_args_are_others(self) -> ModelSettings:
        named = {"model": "name", "tensor_parallel_size": "tensor_parallel_size"} | {key: key for key in _VLLM_KEYS}
        if twice := sorted(set(named) & set(self.engine_args)):
            raise ValueError(f"model.engine_args: {twice[0]} is set with model.{named[twice[0]]}")
        if kept := sorted(_KEPT_FROM_OPERATORS & set(self.engine_args)):
            raise ValueError(f"model.engine_args: {kept[0]} can not be changed: answers and secrecy depend on it")
        return self


class DialogueSettings(Section):
    """How the bot talks."""

    history_turns: int = Field(default=6, ge=0, le=100)
    """How many earlier turns a follow-up may lean on."""
    history_tokens: int = Field(default=2000, ge=0)
    """How much of them the model is shown."""
    max_answer_chars: int = Field(default=150, ge=20, le=4000)
    """The longest answer."""
    min_confidence: Percentage = 0.5
    """Below it the bot refuses and offers a ticket."""
    language: Literal["auto", "zh", "en"] = "auto"
    """ "auto" answers in the language of the question."""
    refusal: str = ""
    """What to say when the knowledge has nothing; "" for the built-in sentence of each language."""
    persona: str = ""
    """Who the model is told it is; "" for the built-in description."""
    rewrite_seconds: float = Field(default=1.5, ge=0.0, le=60.0)
    """How long the search for a follow-up waits for the model to rewrite it; 0 searches without."""


class TicketSettings(Section):
    """Requests that a person of the company works on."""

    prefix: str = Field(default="TICKET", pattern=r"^[A-Z][A-Z0-9]{0,15}$")
    """What a ticket's number starts with; capital letters and digits."""
    notify: Annotated[tuple[str, ...], AfterValidator(_channel_addresses)] = ()
    """Who is told of new tickets: channel addresses such as "telegram:-1001234567890"."""
    sla_hours: float = Field(default=24.0, gt=0.0, le=8760.0)
    """Within how many hours a ticket should be answered."""


class FunctionSettings(Section):
    """What can be done for a customer besides answering and opening tickets: docs/functions.md."""

    modules: Annotated[tuple[str, ...], AfterValidator(_module_names)] = ()
    """Python modules with functions of your own, installed beside kefu, e.g. ["acme_functions.orders"]."""


class LimitSettings(Section):
    """What one person, one conversation and the whole house may ask for."""

    user_per_minute: int = Field(default=20, ge=1)
    """Messages of one person a minute; beyond it they are kept, but not answered."""
    user_tokens_per_day: int = Field(default=200_000, ge=0)
    """Model tokens one person may use a day; 0 for no cap."""
    queue_per_conversation: int = Field(default=20, ge=1)
    """Messages that may wait in one conversation."""
    queue_total: int = Field(default=2000, ge=1)
    """Messages that may wait altogether."""
    max_message_chars: int = Field(default=4000, ge=1)
    """The longest message that is read; the rest of a longer one is left out."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """The largest HTTP request body."""


class PrivacySettings(Section):
    """What is kept about people, and shown."""

    retention_days: int = Field(default=0, ge=0)
    """After how many days conversations are deleted; 0 keeps them."""
    redact: bool = True
    """Mask personal data (phone, identity and card numbers, e-mail) in logs, traces and operators' notices."""


class AdminSettings(Section):
    """Access for the company's own people."""

    token: Annotated[SecretStr, AfterValidator(_header_safe)] = SecretStr("")
    """The bearer token of the tickets API; "" makes one at the first start and prints it once."""


class LogSettings(Section):
    """What the process says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """ "auto" writes text on a terminal and JSON elsewhere."""


SECTIONS: dict[str, type[Section]] = {
    "http": HttpSettings,
    "database": DatabaseSettings,
    "cache": CacheSettings,
    "knowledge": KnowledgeSettings,
    "model": ModelSettings,
    "dialogue": DialogueSettings,
    "tickets": TicketSettings,
    "functions": FunctionSettings,
    "limits": LimitSettings,
    "privacy": PrivacySettings,
    "admin": AdminSettings,
    "log": LogSettings,
}
"""In the order of the contract."""
