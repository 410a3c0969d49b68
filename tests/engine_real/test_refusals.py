"""What is too long is shortened; what vLLM refuses harms nobody else; what can not be loaded is said in one line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.engine import processes, vllm_model
from bot.engine.model import LoadFailed, Rendered
from bot.engine.vllm_model import PROCESSES_FILE
from bot.errors import BadOutput
from bot.messages import Answered, CustomerSaid
from tests.engine_real import functions
from tests.engine_real.engines import CONTEXT, Real, passage, prompt, settings
from tests.faults.bot import KEFU
from tests.faults.processes import Process as Started
from tests.faults.processes import clean_environment

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LONGEST_MESSAGE = 4000
"""`limits.max_message_chars`."""
THEN = datetime(2026, 11, 2, tzinfo=UTC)
on_the_engines_loop = pytest.mark.asyncio(loop_scope="session")


@on_the_engines_loop
@pytest.mark.parametrize("text", ["订单多久发货？", "When do you ship? "], ids=["zh", "en"])
async def test_the_longest_message_with_the_largest_passages_is_answered(real: Real, text: str) -> None:
    asked = prompt(
        (text * LONGEST_MESSAGE)[:LONGEST_MESSAGE],
        passages=tuple(passage(f"{number}. " + text * 80, number) for number in range(1, 6)),
        history=tuple(CustomerSaid(text=text * 20, at=THEN) for _ in range(12)),
        functions=functions.specs("zh"),
    )
    with capture_logs() as logs:
        rendered = real.model.render(asked)
    assert len(rendered.tokens) <= CONTEXT - settings(Path()).max_tokens
    [told] = [line for line in logs if line["event"] == "a prompt was shortened"]
    assert told["question"] is True and told["history"] > 0
    assert text[:6] not in str(logs)
    assert await real.end_of(asked)


REFUSED: dict[str, Callable[[Rendered], Rendered]] = {
    "longer than the context": lambda sound: _with(sound, tokens=[5] * (CONTEXT + 1)),
    "a token that does not exist": lambda sound: _with(sound, tokens=[10**6]),
    "no tokens": lambda sound: _with(sound, tokens=[]),
    "a constraint that is none": lambda sound: _with(sound, constraint='{"type": "structural_tag"'),
}


def _with(sound: Rendered, **changed: Any) -> Rendered:
    return replace(sound, **changed)


@on_the_engines_loop
@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
async def test_what_the_engine_refuses_is_one_bad_output(
    real: Real, monkeypatch: pytest.MonkeyPatch, change: Callable[[Rendered], Rendered]
) -> None:
    sound = real.model.render(prompt("订单多久发货？"))
    monkeypatch.setattr(real.model, "render", lambda _: change(sound))
    with pytest.raises(BadOutput, match="refuses the prompt") as refused:
        await real.ask(prompt("机密的问题"))
    assert "机密" not in str(refused.value)
    monkeypatch.undo()
    await real.idle()
    assert isinstance(await real.end_of(prompt("订单多久发货？")), Answered)
    assert real.engine.health().ready and real.figure("kefu_engine_reloads_total") == 0


@on_the_engines_loop
async def test_a_function_that_a_model_can_not_be_held_to_is_not_offered(real: Real) -> None:
    *own, plan = functions.specs("zh")
    properties = {"it": {"type": "string", "pattern": "x"}}
    strange = replace(plan, name="strange", parameters={"type": "object", "properties": properties})
    with capture_logs() as logs:
        with_it = real.model.render(prompt("订单多久发货？", functions=(*own, strange)))
        without = real.model.render(prompt("订单多久发货？", functions=tuple(own)))
    assert with_it == without
    [told] = [line for line in logs if line["log_level"] == "error"]
    assert "strange" in told["reason"] and "pattern" in told["reason"]


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an argument that vLLM does not know": (
        {"engine_args": {"no_such_thing": 1}},
        r"model\.engine_args: .*no_such_thing",
    ),
    "a value that vLLM does not take": ({"engine_args": {"kv_cache_dtype": "fp3"}}, "cache_dtype"),
    "no room for a prompt": (
        {"max_model_len": 600, "max_tokens": 512},
        r"max_tokens = 512 leaves less than 512 of 600",
    ),
    "damaged weights": ({}, r"can not be (read|loaded): "),
    "a quantization that it does not have": ({"quantization": "awq"}, r"can not be (read|loaded): "),
}


@pytest.mark.parametrize(("more", "said"), BROKEN.values(), ids=BROKEN)
async def test_what_can_not_be_loaded_is_one_line_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, request: pytest.FixtureRequest, more: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    if "damaged" in request.node.name:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    before = await asyncio.to_thread(processes.descendants, os.getpid())
    with pytest.raises(LoadFailed, match=said) as failed:
        await vllm_model.load(settings(folder, **more), tmp_path / "data")
    assert "\n" not in str(failed.value) and len(str(failed.value)) < 500
    left = await asyncio.to_thread(processes.descendants, os.getpid()) - before
    assert await asyncio.to_thread(processes.alive, left) == frozenset()
    assert not (tmp_path / "data" / PROCESSES_FILE).exists()


async def kefu(folder: Path, *arguments: str, **model: object) -> tuple[int, str]:
    """Status and output of a command, with these settings of the section `model`."""
    variables = {f"KEFU_MODEL__{name.upper()}": str(value) for name, value in model.items()}
    environment = clean_environment(KEFU_MODEL__BACKEND="vllm", KEFU_HTTP__PORT="0", **variables)
    process = Started([*KEFU, *arguments], log=folder / "kefu.log", folder=folder, environment=environment)
    await process.start()
    try:
        return await process.wait(90), process.words()
    finally:
        await process.end()


async def test_the_doctor_looks_at_model_and_machine_without_loading(tiny_model: Path, tmp_path: Path) -> None:
    _, words = await kefu(tmp_path, "doctor", "--json", name=tiny_model)
    report = json.loads(words[words.index('{"ok"') :].splitlines()[0])
    [engine] = [check for check in report["checks"] if check["name"] == "engine"]
    assert engine["ok"], engine
    assert f"{tiny_model} is there to be loaded" in engine["detail"]


@pytest.mark.parametrize(
    ("model", "said"),
    [({"name": "/no/such/model"}, "there is nothing at /no/such/model"), ({"max_model_len": 99_999}, "99999")],
    ids=["no model", "a context that it does not have"],
)
async def test_what_is_known_at_once_ends_the_start(
    tiny_model: Path, tmp_path: Path, model: dict[str, object], said: str
) -> None:
    status, words = await kefu(tmp_path, "run", **{"name": tiny_model, **model})
    assert status == 2
    assert words.splitlines()[-1].startswith("kefu: model.") and said in words.splitlines()[-1]
    assert "Traceback" not in words
