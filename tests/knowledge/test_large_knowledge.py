"""A knowledge large enough for an inverted file, made in the background; here that is more than 200 passages."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge.background import Background, Pause
from knowledge.config import KnowledgeConfig
from knowledge.indexing_apart import _start
from knowledge.inverted_file import InvertedFile, train
from knowledge.loading import load_snapshot
from knowledge.memory_snapshot import MemorySnapshot
from knowledge.service import Knowledge, open_knowledge
from knowledge.vectors import FlatVectors
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]
LARGE = 200


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge.memory_snapshot.FLAT_UP_TO", LARGE)


def rows(count: int, state: str = "first") -> list[dict[str, object]]:
    return [{"id": n, "title": f"question number {n}", "text": f"answer {n} of the {state}"} for n in range(count)]


def searched_with(knowledge: Knowledge) -> type:
    snapshot = knowledge.retriever._snapshot
    assert isinstance(snapshot, MemorySnapshot)
    return type(snapshot.vectors)


@pytest.mark.parametrize(
    ("passages", "kind"), [(LARGE, FlatVectors), (LARGE + 1, InvertedFile)], ids=["small", "large"]
)
async def test_from_a_certain_size_on_not_every_vector_is_looked_at(
    knowledge: Knowledge, write: Write, passages: int, kind: type
) -> None:
    await knowledge.sync([write("kb.jsonl", rows(passages))])
    await knowledge.retriever.settled()
    assert searched_with(knowledge) is kind
    for asked in ("question number 7", "answer 150"):
        hit = (await knowledge.retriever.search(asked, top_k=1))[0]
        assert hit.document.endswith(f"#{asked.split()[-1]}")


async def test_what_is_searched_meanwhile_is_all_of_it(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slowly(*arguments: object) -> object:
        assert go_on.wait(20)
        return train(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("knowledge.memory_snapshot.train", slowly)
    await knowledge.sync([write("kb.jsonl", rows(300))])
    assert searched_with(knowledge) is FlatVectors
    before = await knowledge.retriever.search("question number 7", top_k=50)
    go_on.set()
    await knowledge.retriever.settled()
    assert searched_with(knowledge) is InvertedFile
    after = await knowledge.retriever.search("question number 7 ", top_k=50)
    assert after[:5] == before[:5]


async def test_the_next_version_takes_the_lists_over(knowledge: Knowledge, write: Write) -> None:
    await knowledge.sync([write("kb.jsonl", rows(300))])
    await knowledge.retriever.settled()
    changed = rows(300)
    changed[42] = {"id": 42, "title": "zebra crossing", "text": "stripes on the road"}
    await knowledge.sync([write("kb.jsonl", changed)])
    assert searched_with(knowledge) is InvertedFile  # at once
    assert (await knowledge.retriever.search("zebra crossing", top_k=1))[0].text == "stripes on the road"
    assert not [hit for hit in await knowledge.retriever.search("question number 42") if hit.document.endswith("#42")]


async def test_a_knowledge_that_shrank_is_looked_at_whole_again(knowledge: Knowledge, write: Write) -> None:
    for count, kind in ((300, InvertedFile), (LARGE - 50, FlatVectors), (1000, InvertedFile)):
        await knowledge.sync([write("kb.jsonl", rows(count))])
        await knowledge.retriever.settled()
        assert searched_with(knowledge) is kind


async def test_searches_during_syncs_find_one_version_each(knowledge: Knowledge, write: Write) -> None:
    await knowledge.sync([write("kb.jsonl", rows(300, "state0"))])
    sources = [write(f"{n}/kb.jsonl", rows(300, f"state{n}")) for n in range(1, 5)]

    async def syncs() -> None:
        for source in sources:
            await knowledge.sync([source])
            hit = (await knowledge.retriever.search("answer of the", top_k=1))[0]
            assert hit.text.endswith(f"state{source.parent.name}")

    seen = set()
    task = asyncio.create_task(syncs())
    asked = 0
    while not task.done():
        asked += 1
        hits = await knowledge.retriever.search(f"question answer {asked}", top_k=20)
        states, versions = {hit.text.split()[-1] for hit in hits}, {hit.version for hit in hits}
        assert (len(hits), len(states), len(versions)) == (20, 1, 1)
        seen |= states
    await task
    assert len(seen) > 1


async def test_closing_does_not_wait_for_the_background(
    config: KnowledgeConfig, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def forever(_: object, pause: Pause) -> object:
        begun.set()
        while True:
            pause()

    monkeypatch.setattr("knowledge.memory_snapshot.train", forever)
    async with open_knowledge(config, embedder=HashingEmbedder()) as knowledge:
        await knowledge.sync([write("kb.jsonl", rows(300))])
        assert await asyncio.to_thread(begun.wait, 20)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("knowledge-background")]


async def test_lists_that_could_not_be_made_leave_the_search_as_it_is(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr("knowledge.memory_snapshot.train", fails)
    await knowledge.sync([write("kb.jsonl", rows(300))])
    await knowledge.retriever.settled()
    assert "was not made" in caplog.text
    assert (await knowledge.retriever.search("question number 7", top_k=1))[0].document.endswith("#7")


async def test_cancelled_work_ends_and_the_next_begins() -> None:
    background = Background()
    begun = threading.Event()

    def forever(pause: Pause) -> None:
        begun.set()
        while True:
            pause()

    task = asyncio.create_task(background.run(forever))
    assert await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    assert await asyncio.wait_for(background.run(lambda pause: 5), 20) == 5
    await background.close()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge.index._APART_FROM", LARGE)


@pytest.mark.usefixtures("apart", "on_disk")
async def test_another_process_makes_the_indexes_of_a_large_table(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing_left(_: object, columns: tuple[str, ...]) -> None:
        assert columns == ()

    monkeypatch.setattr("knowledge.index.make_indexes", nothing_left)
    for state in ("first", "second"):
        await knowledge.sync([write("kb.jsonl", rows(300, state))])
        hits = await knowledge.retriever.search("answer 123", top_k=3)
        # The words decide: the stand-in's vectors blur numbers.
        assert hits[0].text == f"answer 123 of the {state}"
        assert hits[0].lexical == 1.0
    assert not caplog.records or "process apart" not in caplog.text


@pytest.mark.usefixtures("apart", "on_disk")
async def test_indexes_are_made_here_where_no_other_process_can(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    await knowledge.sync([write("kb.jsonl", rows(300))])
    assert (await knowledge.retriever.search("answer 123", top_k=1))[0].lexical == 1.0
    assert "process apart" in caplog.text


@pytest.mark.usefixtures("apart", "on_disk")
async def test_a_sync_that_is_cancelled_leaves_no_process_behind(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        process = _start(*arguments)  # type: ignore[arg-type]
        started.append(process)
        loop.call_soon_threadsafe(begun.set)
        return process

    monkeypatch.setattr("knowledge.indexing_apart._start", start)
    task = asyncio.create_task(knowledge.sync([write("kb.jsonl", rows(300))]))
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].poll() is not None
    monkeypatch.undo()
    await knowledge.sync([write("kb.jsonl", rows(300, "second"))])
    assert (await knowledge.retriever.search("answer 123", top_k=1))[0].text == "answer 123 of the second"


async def test_who_asks_while_the_next_version_is_loaded_does_not_wait(
    knowledge: Knowledge, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.sync([write("kb.jsonl", rows(300))])
    loading, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: object, **options: object) -> object:
        loading.set()
        await go_on.wait()
        return await load_snapshot(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("knowledge.retriever.load_snapshot", slowly)
    task = asyncio.create_task(knowledge.sync([write("kb.jsonl", rows(300, "second"))]))
    await asyncio.wait_for(loading.wait(), 30)
    await asyncio.sleep(0.3)  # past the next look for a newer version
    hit = (await asyncio.wait_for(knowledge.retriever.search("answer 123", top_k=1), 10))[0]
    assert hit.text == "answer 123 of the first"
    # After a longer silence who knows what changed: the first to ask waits.
    knowledge.retriever._looking = None
    knowledge.retriever._checked -= 60
    asked = asyncio.create_task(knowledge.retriever.search("answer 124", top_k=1))
    await asyncio.sleep(0.1)
    assert not asked.done()
    go_on.set()
    assert (await asked)[0].text == "answer 124 of the second"
    await task
