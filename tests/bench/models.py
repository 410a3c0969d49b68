"""How the benches load a model folder into vLLM on a machine without a GPU: short contexts, little cache, patience."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bot.clock import SystemClock
from bot.engine import vllm_model
from bot.engine.vllm import Patience, VllmEngine
from bot.engine.vllm_settings import VllmSettings
from bot.telemetry import Metrics

CONTEXT = 4096
CACHE_BYTES = 1 << 30
SIDE_BY_SIDE = 32
PATIENCE_SECONDS = 600.0
ENGINE_ARGS = {"kv_cache_memory_bytes": CACHE_BYTES, "max_num_seqs": SIDE_BY_SIDE}


def settings_of(folder: Path, *, temperature: float = 0.0) -> VllmSettings:
    """The weights in a folder."""
    return VllmSettings(
        name=str(folder.resolve()),
        max_model_len=CONTEXT,
        enforce_eager=True,
        temperature=temperature,
        engine_args=ENGINE_ARGS,
    )


def environment_of(folder: Path) -> Mapping[str, str]:
    """The same as variables, for a kefu of its own; always the same words, so that a run can be repeated."""
    return {
        "KEFU_MODEL__BACKEND": "vllm",
        "KEFU_MODEL__NAME": str(folder.resolve()),
        "KEFU_MODEL__MAX_MODEL_LEN": str(CONTEXT),
        "KEFU_MODEL__ENFORCE_EAGER": "true",
        "KEFU_MODEL__TEMPERATURE": "0",
        "KEFU_MODEL__TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
        "KEFU_MODEL__ENGINE_ARGS": json.dumps(ENGINE_ARGS),
    }


@asynccontextmanager
async def opened_engine(folder: Path) -> AsyncIterator[VllmEngine]:
    """The weights of a folder, loaded.

    :raises SystemExit: they can not be; says why.
    """
    settings = settings_of(folder)
    with tempfile.TemporaryDirectory() as data:
        engine = VllmEngine(
            lambda: vllm_model.load(settings, Path(data)),
            patience=Patience.within(PATIENCE_SECONDS),
            clock=SystemClock(),
            metrics=Metrics(),
        )
        await engine.start()
        try:
            await engine.wait_loaded()
            if not engine.health().ready:
                raise SystemExit(f"{folder}: {engine.health().detail}")
            yield engine
        finally:
            await engine.close()
