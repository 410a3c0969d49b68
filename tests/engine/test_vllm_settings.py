"""What is wrong with a model is said in one line, as far as it can be known before anything is loaded."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bot.answering import make_engine
from bot.clock import SystemClock
from bot.engine.vllm_settings import FROM_MODEL_SECTION, VllmSettings, problem_of
from bot.errors import OperatorError
from bot.sections import ModelSettings
from bot.settings import Settings
from bot.telemetry import Metrics


@pytest.fixture
def model(tmp_path: Path) -> VllmSettings:
    """A folder that looks as it should."""
    folder = tmp_path / "qwen"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return VllmSettings(name=str(folder))


def test_a_folder_with_everything_in_it_may_be_loaded(model: VllmSettings) -> None:
    assert problem_of(model) is None
    assert problem_of(replace(model, max_model_len=4096, max_tokens=3584)) is None


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-7B-Instruct", "qwen"])
def test_a_name_on_a_hub_is_left_to_the_hub(name: str) -> None:
    assert problem_of(VllmSettings(name=name)) is None


def test_a_gguf_file_may_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "qwen2.5-7b-q4_k_m.gguf"
    file.touch()
    assert problem_of(VllmSettings(name=str(file))) is None


@pytest.mark.parametrize("what", ["nothing there", "no configuration", "no weights", "pickled weights", "some file"])
def test_what_is_missing_is_named_with_its_folder(model: VllmSettings, what: str) -> None:
    folder = Path(model.name)
    if what in ("no weights", "pickled weights"):
        (folder / "model.safetensors").unlink()
    if what == "pickled weights":
        (folder / "pytorch_model.bin").touch()
    if what == "no configuration":
        (folder / "config.json").unlink()
    if what == "nothing there":
        model = replace(model, name=f"{folder}-elsewhere")
    if what == "some file":
        model = replace(model, name=str(folder / "config.json"))
    problem = problem_of(model)
    assert problem is not None and problem.startswith("model.name: ") and "\n" not in problem
    assert model.name in problem


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"max_model_len": 8192}, r"model\.max_model_len = 8192, .* 4096 tokens at the most", id="context"),
        pytest.param({"max_tokens": 3600}, r"model\.max_tokens = 3600 leaves less than 512 of 4096", id="no room"),
        pytest.param(
            {"max_tokens": 1024, "max_model_len": 1024},
            r"max_tokens = 1024 .* of 1024",
            id="no room, shortened context",
        ),
    ],
)
def test_lengths_that_do_not_go_together_are_named(model: VllmSettings, settings: dict[str, int], said: str) -> None:
    problem = problem_of(replace(model, **settings))  # type: ignore[arg-type]
    assert problem is not None and re.search(said, problem)


@pytest.mark.parametrize("config", ["", "[]", '{"max_position_embeddings": null}', '{"rope_scaling": {"factor": 4}}'])
def test_a_configuration_that_says_nothing_of_lengths_is_left_to_vllm(model: VllmSettings, config: str) -> None:
    Path(model.name, "config.json").write_text(config)
    assert problem_of(replace(model, max_model_len=100_000)) is None


def test_it_is_an_operators_error_at_the_start(model: VllmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # as if vLLM were installed
    settings = Settings(model=ModelSettings(backend="vllm", name=model.name, max_model_len=8192))
    with pytest.raises(OperatorError, match="max_model_len = 8192"):
        make_engine(settings, data=Path("data"), metrics=Metrics(), clock=SystemClock())


def test_every_setting_of_the_section_reaches_vllm() -> None:
    section = ModelSettings(
        name="m", temperature=0.5, max_concurrency=7, max_model_len=5000, gpu_memory_utilization=0.5,
        tensor_parallel_size=2, quantization="awq", dtype="float16", enforce_eager=True,
        engine_args={"kv_cache_dtype": "fp8", "generation_config": "auto"},
    )  # fmt: skip
    made = VllmSettings(**{name: getattr(section, name) for name in FROM_MODEL_SECTION}).arguments()
    wanted = {
        "model": "m", "max_num_seqs": 7, "max_model_len": 5000, "gpu_memory_utilization": 0.5,
        "tensor_parallel_size": 2, "quantization": "awq", "dtype": "float16", "enforce_eager": True,
        "kv_cache_dtype": "fp8", "enable_prefix_caching": True, "trust_remote_code": False,
        "enable_log_requests": False, "generation_config": "auto",
    }  # fmt: skip
    assert {name: made[name] for name in wanted} == wanted
