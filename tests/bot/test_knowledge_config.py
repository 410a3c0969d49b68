"""Which server and key the knowledge gets."""

from __future__ import annotations

import pytest

from bot.answering import knowledge_config
from bot.sections import KnowledgeSettings, ModelSettings
from bot.settings import Settings

MODEL = {"base_url": "http://model.example/v1", "api_key": "model-key"}
OWN = {"embedder_url": "http://vectors.example/v1"}


@pytest.mark.parametrize(
    ("knowledge", "url", "key"),
    [
        pytest.param({}, "http://model.example/v1", "model-key", id="the model's server"),
        pytest.param({"embedder_key": "own-key"}, "http://model.example/v1", "own-key", id="another key for it"),
        pytest.param(OWN, "http://vectors.example/v1", "", id="the model's key goes to no other server"),
        pytest.param({**OWN, "embedder_key": "own-key"}, "http://vectors.example/v1", "own-key", id="one of its own"),
    ],
)
def test_the_embeddings_server_and_its_key(knowledge: dict[str, str], url: str, key: str) -> None:
    settings = Settings(
        knowledge=KnowledgeSettings.model_validate({"device": "cuda:1", **knowledge}),
        model=ModelSettings.model_validate(MODEL),
    )
    config = knowledge_config(settings)
    assert (config.embedder_url, config.embedder_key, config.device) == (url, key, "cuda:1")
    assert "-key" not in repr(config)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "cpu\n"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        KnowledgeSettings(device=device)


@pytest.mark.parametrize("url", ["ftp://x", "http://u:hunter2@x.example/v1", "http://x.example/v1?key=hunter2"])
def test_an_address_with_more_than_an_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="embedder_url") as raised:
        KnowledgeSettings(embedder_url=url)
    assert "hunter2" not in str(raised.value)
