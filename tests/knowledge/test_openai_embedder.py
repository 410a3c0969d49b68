"""Embeddings over the network: the protocol, its faults, and what is said of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from knowledge.config import KnowledgeConfig
from knowledge.embedders import create_embedder
from knowledge.embedders.openai_server import OpenAIEmbedder, Patience
from knowledge.errors import EmbedderAwayError, EmbedderError, IndexMismatchError
from knowledge.service import open_knowledge
from tests.fakes.embeddings_api import FakeEmbeddings, Json, Spoiled, failing, saying, vector_of

PATIENT = Patience(connect=15.0, question=15.0, passages=15.0, rest=0.01)
QUICK = Patience(connect=1.0, question=1.0, passages=3.0, rest=0.01)
"""For what is about the limits: a busy machine may take a second for anything."""
KEY = "sk-hunter2"


@pytest.fixture
async def server() -> AsyncIterator[FakeEmbeddings]:
    async with FakeEmbeddings(key=KEY) as running:
        yield running


@pytest.fixture
async def embedder(server: FakeEmbeddings) -> AsyncIterator[OpenAIEmbedder]:
    made = await asyncio.to_thread(OpenAIEmbedder, "tiny", url=server.url, key=KEY, patience=PATIENT)
    server.asked.clear()
    yield made
    made.close()


def _row(text: str) -> list[float]:
    vector = np.array(vector_of(text))
    return list(vector / np.linalg.norm(vector))


async def test_every_text_gets_its_own_vector_of_length_one(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    texts = ["密码忘了怎么办", "", "\0", "\ud800", "a" * 3000]
    vectors = await asyncio.to_thread(embedder.embed, texts, "passage")
    assert (embedder.name, embedder.dimension) == ("openai:tiny", 8)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, [_row(text) for text in ("密码忘了怎么办", ".", ".", "?", "a" * 3000)], atol=1e-6)
    assert embedder.embed([], "query").shape == (0, 8)
    assert len(server.asked) == 1


async def test_the_order_is_the_one_that_the_server_names(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    server.spoil = [saying(lambda answer: answer | {"data": answer["data"][::-1]})]
    vectors = await asyncio.to_thread(embedder.embed, ["one", "two", "three"], "passage")
    assert np.allclose(vectors, [_row("one"), _row("two"), _row("three")], atol=1e-6)


async def test_requests_are_bounded_in_texts_and_in_bytes(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    texts = [f"text {number}" for number in range(130)] + ["长" * 7000] * 20
    vectors = await asyncio.to_thread(embedder.embed, texts, "passage")
    assert vectors.shape == (150, 8)
    assert [len(batch) for batch in server.asked] == [64, 64, 8, 6, 6, 2]


async def test_a_text_that_is_too_long_for_the_model_is_embedded_by_its_beginning(
    embedder: OpenAIEmbedder, server: FakeEmbeddings
) -> None:
    server.longest = 512
    long = "长" * 1500
    vectors = await asyncio.to_thread(embedder.embed, ["short", long, "also short"], "passage")
    assert np.allclose(vectors, [_row("short"), _row(long[:375]), _row("also short")], atol=1e-6)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(failing(429, Retry_After="0"), id="too much to do"),
        pytest.param(failing(503), id="down"),
        pytest.param(failing(500, Retry_After="nonsense"), id="failing"),
        pytest.param(failing(429, Retry_After="-5"), id="a wait before now"),
        pytest.param(failing(429, Retry_After="nan"), id="a wait that is none"),
    ],
)
async def test_what_passes_is_tried_again(embedder: OpenAIEmbedder, server: FakeEmbeddings, fault: Spoiled) -> None:
    server.spoil = [fault, fault]
    vectors = await asyncio.to_thread(embedder.embed, ["text"], "passage")
    assert np.allclose(vectors, [_row("text")], atol=1e-6)
    assert len(server.asked) == 3


async def test_a_broken_connection_is_tried_again(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    def cut(_answer: Json) -> web.StreamResponse:
        raise asyncio.CancelledError  # aiohttp hangs up without an answer

    server.spoil = [cut]
    assert (await asyncio.to_thread(embedder.embed, ["text"], "passage")).shape == (1, 8)
    assert len(server.asked) == 2


async def test_the_servers_wish_for_rest_is_kept_to(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    server.spoil = [failing(429, Retry_After="1")]
    began = time.monotonic()
    await asyncio.to_thread(embedder.embed, ["text"], "passage")
    assert time.monotonic() - began >= 1.0
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.spoil = [failing(503, Retry_After=later)]
    with pytest.raises(EmbedderError, match="status 503"):  # longer than anybody waits
        await asyncio.to_thread(embedder.embed, ["text"], "passage")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(failing(401), r"refuses the key \(401\): look at knowledge.embedder_key", id="key"),
        pytest.param(failing(404), "no such model or address", id="model"),
        pytest.param(failing(302, Location="http://127.0.0.1:1/"), r"somewhere else \(302\)", id="redirect"),
        pytest.param(lambda _: web.Response(text="<html>"), "gives no embeddings", id="HTML"),
        pytest.param(lambda _: web.Response(text="[" * 100_000), "gives no embeddings", id="nesting"),
        pytest.param(saying(lambda _: {"data": []}), "gives no embeddings", id="none"),
        pytest.param(saying(lambda answer: answer | {"data": answer["data"] * 2}), "no embeddings", id="too many"),
        pytest.param(saying(lambda answer: _with(answer, index=1)), "gives no embeddings", id="another text's"),
        pytest.param(saying(lambda answer: _with(answer, index=False)), "gives no embeddings", id="no index"),
        pytest.param(saying(lambda answer: _with(answer, embedding="AACAPw==")), "no embeddings", id="packed"),
        pytest.param(saying(lambda answer: _with(answer, embedding=["1"] * 8)), "no embeddings", id="text"),
        pytest.param(saying(lambda answer: _with(answer, embedding=[True] * 8)), "no embeddings", id="flags"),
        pytest.param(saying(lambda answer: _with(answer, embedding=[])), "gives no embeddings", id="empty"),
        pytest.param(saying(lambda answer: _with(answer, embedding=[float("nan")] * 8)), "none", id="not a number"),
        pytest.param(saying(lambda answer: _with(answer, embedding=[0.0] * 8)), "vectors that are none", id="zeros"),
        pytest.param(saying(lambda answer: _with(answer, embedding=[1.0] * 9)), "9 dimensions where it gave 8", id="9"),
    ],
)
async def test_what_is_wrong_is_one_line_without_key_or_text(
    embedder: OpenAIEmbedder, server: FakeEmbeddings, fault: Spoiled, words: str
) -> None:
    server.spoil = [fault]
    with pytest.raises(EmbedderError, match=words) as raised:
        await asyncio.to_thread(embedder.embed, ["我的密码是 swordfish"], "passage")
    assert not isinstance(raised.value, EmbedderAwayError)
    told = f"{raised.value}{raised.value.__cause__}"
    assert "\n" not in told
    assert "swordfish" not in told
    assert KEY not in told
    assert len(server.asked) == 1


def _with(answer: Json, **changed: object) -> Json:
    return answer | {"data": [answer["data"][0] | changed]}


async def test_a_silent_server_is_waited_for_no_longer_than_a_customer(server: FakeEmbeddings) -> None:
    quick = replace(PATIENT, question=2.0)
    server.spoil = [saying(lambda answer: answer), server.hang]
    embedder = await asyncio.to_thread(OpenAIEmbedder, "tiny", url=server.url, key=KEY, patience=quick)
    began = time.monotonic()
    with pytest.raises(EmbedderError, match="takes too long"):
        await asyncio.to_thread(embedder.embed, ["text"], "query")
    assert time.monotonic() - began < 4.5
    embedder.close()


async def test_closing_ends_what_waits(embedder: OpenAIEmbedder, server: FakeEmbeddings) -> None:
    server.spoil = [failing(429, Retry_After="2")]
    waiting = asyncio.create_task(asyncio.to_thread(embedder.embed, ["text"], "passage"))
    while not server.asked:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    embedder.close()
    with pytest.raises(EmbedderError, match="closed"):
        await waiting
    assert time.monotonic() - began < 1.0


async def test_a_wrong_key_and_a_missing_server_are_told_at_the_start(server: FakeEmbeddings) -> None:
    with pytest.raises(EmbedderError, match="refuses the key"):
        await asyncio.to_thread(create_embedder, "openai:tiny", url=server.url, key="other")
    # Away and not wrong: whoever starts may wait for it.
    with pytest.raises(EmbedderAwayError, match=r"can not be reached: look at knowledge\.embedder_url"):
        await asyncio.to_thread(OpenAIEmbedder, "tiny", url="http://127.0.0.1:1/v1", key="", patience=QUICK)
    for name, url in (("openai:tiny", ""), ("openai:", server.url)):
        with pytest.raises(EmbedderError, match=r"knowledge\.embedder_url"):
            create_embedder(name, url=url)


async def test_a_knowledge_is_synced_and_searched_over_it(server: FakeEmbeddings, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# 退款\n\n五天到账。\n\n# 发票\n\n点开订单。\n", encoding="utf-8")
    config = KnowledgeConfig(
        uri=str(tmp_path / "index"), embedder="openai:tiny", embedder_url=server.url, embedder_key=KEY
    )
    async with open_knowledge(config) as knowledge:
        report = await knowledge.sync([page])
        assert (report.added, report.embedded) == (1, 2)
        (hit, *_) = await knowledge.retriever.search("退款五天到账")
        assert hit.id == "page.md"
    async with FakeEmbeddings(key=KEY, model="another") as other:
        changed = KnowledgeConfig(uri=config.uri, embedder="openai:another", embedder_url=other.url, embedder_key=KEY)
        async with open_knowledge(changed) as knowledge:
            with pytest.raises(IndexMismatchError, match=r"'openai:tiny'.*'openai:another'.*rebuild"):
                await knowledge.retriever.search("退款")
    assert KEY not in repr(config)
