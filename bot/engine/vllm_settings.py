"""How vLLM is to be started, and what of it can be known to be wrong before it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """Section `model` of kefu.toml, as far as it is about vLLM, with what of `dialogue` a prompt needs."""

    name: str
    hub: str = "huggingface"
    temperature: float = 0.3
    top_p: float = 0.9
    max_tokens: int = 1024
    max_concurrency: int = 0
    max_model_len: int = 0
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    quantization: str = ""
    dtype: str = "auto"
    enforce_eager: bool = False
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    history_tokens: int = 2000

    def arguments(self) -> dict[str, Any]:
        """As `AsyncEngineArgs` takes them."""
        return {
            "model": self.name,
            "max_model_len": self.max_model_len or None,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            "quantization": self.quantization or None,
            "dtype": self.dtype,
            "enforce_eager": self.enforce_eager,
            **({"max_num_seqs": self.max_concurrency} if self.max_concurrency else {}),
            "enable_prefix_caching": True,
            # Named, never "auto": the first request would choose for all that follow.
            "structured_outputs_config": {"backend": "xgrammar"},
            # Prompts are people's words.
            "enable_log_requests": False,
            "disable_log_stats": True,
            "trust_remote_code": False,
            # Qwen's own lists <|endoftext|> as an end beside <|im_end|>: it would end an output in the middle of a
            # string, where the tag takes it for text. The tokenizer's end is the only one.
            "generation_config": "vllm",
            **self.engine_args,
        }


FROM_MODEL_SECTION = tuple(field.name for field in dataclasses.fields(VllmSettings) if field.name != "history_tokens")
"""What the section `model` has under the same name."""


LEAST_ROOM = 512
"""Tokens a prompt needs at the very least: rules, functions and a short question."""


def problem_of(settings: VllmSettings) -> str | None:
    """What can be known to be wrong before anything is loaded, for the operator; None if nothing is."""
    if (missing := missing_weights(settings.name)) is not None:
        return missing
    own = _own_context(Path(settings.name))
    if own and settings.max_model_len > own:
        return f"model.max_model_len = {settings.max_model_len}, and {settings.name} reads {own} tokens at the most"
    context = settings.max_model_len or own
    return no_room(settings.max_tokens, context) if context else None


def no_room(max_tokens: int, context: int) -> str | None:
    """What is wrong with an output so long in a context so long."""
    if context - max_tokens >= LEAST_ROOM:
        return None
    return f"model.max_tokens = {max_tokens} leaves less than {LEAST_ROOM} of {context} tokens for the prompt"


def _own_context(folder: Path) -> int:
    """How many tokens the model in this folder reads; 0 where that can not be told from its configuration alone."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        stretched = config.get("rope_scaling")
        return 0 if stretched else int(config.get("max_position_embeddings", 0))
    except (OSError, ValueError, TypeError, AttributeError):
        return 0  # a name on a hub, or nothing that is known here; vLLM will say what is wrong


def missing_weights(name: str) -> str | None:
    """What is wrong with a local path to a model, for the operator; None for a name that a hub may know."""
    path = Path(name)
    if not name.startswith((".", "/", "~")) and not path.exists():
        return None
    if not path.exists():
        return f"model.name: there is nothing at {name}"
    if path.is_file():
        return None if path.suffix == ".gguf" else f"model.name: {name} is neither a folder nor a .gguf file"
    if not (path / "config.json").is_file():
        return f"model.name: {name} holds no model: config.json is missing"
    if not any(path.glob("*.safetensors")):
        return f"model.name: {name} holds no weights: no .safetensors file (others are not loaded: they can hold code)"
    return None
