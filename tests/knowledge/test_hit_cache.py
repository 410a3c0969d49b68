"""What is remembered in this process and in Redis: shared, bounded, never yesterday's, and never in the way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from knowledge.config import KnowledgeConfig
from knowledge.hit_cache import CacheEvent, Edition, MemoryHits, SearchKey, digest_of
from knowledge.redis_hits import PREFIX, RedisHits, open_redis_hits
from knowledge.scope import Scope
from knowledge.service import Knowledge, open_knowledge
from knowledge.values import Hit
from tests.knowledge.hashing import HashingEmbedder
from tests.redis_server import RedisServer, redis_server

Write = Callable[..., Path]

KEY = SearchKey(
    question="退款要几天",
    scope=Scope(("default",)),
    top_k=5,
    edition=Edition(key="0011223344556677", embedder="hashing", dimension=64),
)
HIT = Hit(
    id="faq#1",
    document="faq#1",
    collection="default",
    title="退款要几天？",
    text="三天。",
    question="退款要几天？",
    answer="三天。",
    url="",
    tags=("退款",),
    score=0.9,
    dense=0.8,
    lexical=1.0,
    version=3,
)


# --- In this process --------------------------------------------------------------------------------------


async def test_memory_forgets_in_time_and_remembers_nothing_where_it_shall_not() -> None:
    now = [100.0]
    hits = MemoryHits(ttl_seconds=60, clock=lambda: now[0])
    hits.put(KEY, (HIT,))
    now[0] += 59
    assert hits.at_hand(KEY) == (HIT,)
    now[0] += 1
    assert hits.at_hand(KEY) is None
    never = MemoryHits(ttl_seconds=0)
    never.put(KEY, (HIT,))
    assert never.at_hand(KEY) is None


async def test_nothing_found_is_remembered_too() -> None:
    hits = MemoryHits()
    hits.put(KEY, ())
    assert hits.at_hand(KEY) == ()


def test_whatever_decides_what_is_found_is_in_the_digest_and_the_words_are_not() -> None:
    others = [
        replace(KEY, question="退款要几月"),
        replace(KEY, scope=Scope(("default", "hr"))),
        replace(KEY, scope=Scope(("default",), ("退款",))),
        replace(KEY, scope=Scope(("default",), (), "zh")),
        replace(KEY, manner="0123/"),
        replace(KEY, top_k=6),
        *(
            replace(KEY, edition=replace(KEY.edition, **change))  # type: ignore[arg-type]
            for change in ({"key": "0011223344556678"}, {"embedder": "other"}, {"dimension": 32}, {"table": 1})
        ),
    ]
    digests = {digest_of(key) for key in (KEY, *others)}
    assert len(digests) == 1 + len(others)
    assert digest_of(replace(KEY, question="\ud800")) not in digests
    assert all(len(digest) == 32 and int(digest, 16) for digest in digests)
    assert KEY.question not in repr(KEY)


# --- In Redis ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


@asynccontextmanager
async def cache_in(url: str, told: list[CacheEvent] | None = None, *, limit: float = 1.0) -> AsyncIterator[RedisHits]:
    tell = told.append if told is not None else lambda _: None
    async with open_redis_hits(url, ttl_seconds=600, tell=tell, limit_seconds=limit, rest_seconds=0.05) as hits:
        await hits.standing()
        yield hits


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def stored(hits: RedisHits, server: RedisServer, key: SearchKey = KEY) -> str:
    """Keeps a hit; its name in Redis."""
    before = set(server.names())
    hits.put(key, (HIT,))
    await until(lambda: len(server.names()) > len(before))
    (name,) = set(server.names()) - before
    return name


async def test_one_process_finds_what_another_has_searched(server: RedisServer) -> None:
    told: list[CacheEvent] = []
    async with cache_in(server.url) as one, cache_in(server.url, told) as other:
        await stored(one, server)
        assert other.at_hand(KEY) is None
        assert await other.get(KEY) == (HIT,)
        assert other.at_hand(KEY) == (HIT,), "from here on it is at hand"
        assert await other.get(replace(KEY, top_k=6)) is None
    assert Counter(told) == {"up": 1, "redis": 1, "memory": 1, "missed": 1}


async def test_no_word_of_a_question_is_in_redis_and_what_is_there_runs_out(server: RedisServer) -> None:
    async with cache_in(server.url) as hits:
        name = await stored(hits, server, replace(KEY, question="我的电话是13912345678"))
        assert name.startswith(PREFIX) and "139" not in name
        assert KEY.edition.key not in name, "it is what the digests are keyed with"
        everything = server.say("GET", name).decode()
        assert "三天" in everything and "我的电话" not in everything
        assert 0 < int(server.say("TTL", name)[1:].split(b"\r\n")[0]) <= 600


async def test_an_index_without_a_ledger_is_not_shared(server: RedisServer) -> None:
    async with cache_in(server.url) as hits:
        key = replace(KEY, edition=replace(KEY.edition, key="", table=7))
        hits.put(key, (HIT,))
        assert hits.at_hand(key) == (HIT,)
        await asyncio.sleep(0.05)
        assert server.names() == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x80\x04\x95",
        b"[]]",
        b"{}",
        b"[1]",
        b'[{"id":"faq#1"}]',
        b"[" * 100_000,
        b"x" * 600_000,
    ],
    ids=lambda garbage: f"{garbage[:12]!r}",
)
async def test_what_is_none_of_ours_is_not_there(server: RedisServer, garbage: bytes) -> None:
    async with cache_in(server.url) as one, cache_in(server.url) as other:
        name = await stored(one, server)
        server.say("SET", name, garbage)
        assert await other.get(KEY) is None
        assert other.problem == "", "Redis itself is well"


async def test_passages_of_a_collection_that_was_not_asked_are_not_there(server: RedisServer) -> None:
    async with cache_in(server.url) as one, cache_in(server.url) as other:
        name = await stored(one, server)
        value = server.say("GET", name).split(b"\r\n")[1]
        server.say("SET", name, value.replace(b'"default"', b'"internal"'))
        assert await other.get(KEY) is None


async def test_a_name_that_holds_something_else_is_a_refusal_and_no_failure(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[CacheEvent] = []
    async with cache_in(server.url) as one, cache_in(server.url, told) as other:
        name = await stored(one, server)
        server.say("DEL", name)
        server.say("RPUSH", name, "x")
        for _ in range(3):
            assert await other.get(KEY) is None
        assert other.problem == ""
    assert told.count("failed") == 3 and "down" not in told
    assert [record.message for record in caplog.records].count("Redis refuses what the cache asks for") == 1


async def test_a_redis_that_hangs_is_waited_for_once(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    told: list[CacheEvent] = []
    async with cache_in(server.url, told, limit=0.05) as hits:
        await stored(hits, server)
        server.hang()
        try:
            began = time.monotonic()
            other = replace(KEY, top_k=9)
            assert await asyncio.gather(*(hits.get(other) for _ in range(20))) == [None] * 20
            waited = time.monotonic() - began
            began = time.monotonic()
            for _ in range(1000):
                assert await hits.get(other) is None
            assert time.monotonic() - began < 0.5, "nobody waits while it is known to hang"
            assert 0.04 < waited < 1.0
            assert "no answer" in hits.problem
        finally:
            server.go_on()
        await until(lambda: not hits.problem)
        assert await hits.get(KEY) == (HIT,)
    assert told.count("down") >= 1 and told[0] == "up"
    messages = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert 1 <= len(messages) <= 2, "once a change, not once a question"


async def test_a_redis_that_dies_and_comes_back_is_used_again(server: RedisServer) -> None:
    async with cache_in(server.url) as hits:
        await stored(hits, server)
        server.kill()
        await until(lambda: bool(hits.problem))
        assert await hits.get(KEY) is None
        hits.put(KEY, (HIT,))
        assert hits.at_hand(KEY) == (HIT,)
        server.start()
        await until(lambda: not hits.problem)
        await stored(hits, server)


async def test_a_redis_that_is_not_there_yet_is_used_when_it_comes(server: RedisServer) -> None:
    server.kill()
    async with cache_in(server.url) as hits:
        assert hits.problem
        assert await hits.get(KEY) is None
        server.start()
        await until(lambda: not hits.problem)


@pytest.mark.parametrize("wrong", ["s3cret-of-another", ""], ids=["another", "none"])
async def test_a_wrong_password_is_said_and_not_repeated(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path / "redis", password="s3cret-of-the-house") as server:
        url = server.url.replace("s3cret-of-the-house", wrong)
        async with cache_in(url) as hits:
            assert hits.problem == "the user or the password is refused"
            assert await hits.get(KEY) is None
            await asyncio.sleep(0.2)
        async with cache_in(server.url) as hits:
            assert hits.problem == ""
    assert "s3cret" not in caplog.text
    assert caplog.text.count("can not be used") == 1, "not at each try"


async def test_somebody_else_who_listens_there_is_no_redis() -> None:
    async def speak_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    pytest.importorskip("redis", reason="kefu[redis] is not installed")
    async with await asyncio.start_server(speak_http, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with cache_in(f"redis://127.0.0.1:{port}/0") as hits:
            assert hits.problem
            assert await hits.get(KEY) is None


async def test_a_full_redis_keeps_what_it_has_and_is_still_read(server: RedisServer) -> None:
    async with cache_in(server.url) as hits:
        await stored(hits, server)
        server.say("CONFIG", "SET", "maxmemory", "1")
        hits.put(replace(KEY, top_k=9), (HIT,))
        await asyncio.sleep(0.1)
        assert len(server.names()) == 1
        async with cache_in(server.url) as other:
            assert await other.get(KEY) == (HIT,)


async def test_entries_of_a_former_version_are_deleted_and_nobody_elses(server: RedisServer) -> None:
    newer = replace(KEY, edition=replace(KEY.edition, key="8899aabbccddeeff"))
    async with cache_in(server.url) as hits:
        former = await stored(hits, server)
        kept = await stored(hits, server, newer)
        server.say("SET", "somebody:elses", "x")
        hits.follow(KEY.edition.key, newer.edition.key)
        await until(lambda: former not in server.names())
        assert server.names() == [kept, "somebody:elses"]
        hits.put(KEY, (HIT,))  # a search that was under way
        await asyncio.sleep(0.1)
        assert former not in server.names()
        # A restored database leads back to it.
        hits.follow(newer.edition.key, KEY.edition.key)
        await until(lambda: kept not in server.names())
        await stored(hits, server)


async def test_what_could_not_be_deleted_is_when_redis_is_back(server: RedisServer) -> None:
    async with cache_in(server.url, limit=0.1) as hits:
        name = await stored(hits, server)
        server.hang()
        await until(lambda: bool(hits.problem))
        assert await hits.drop([KEY.edition.key]) is False
        server.go_on()
        await until(lambda: name not in server.names())


# --- Under a knowledge --------------------------------------------------------------------------------------


@asynccontextmanager
async def knowledge_over(
    config: KnowledgeConfig, url: str, told: list[CacheEvent] | None = None
) -> AsyncIterator[Knowledge]:
    async with (
        cache_in(url, told) as cache,
        open_knowledge(config, embedder=HashingEmbedder(), cache=cache) as knowledge,
    ):
        yield knowledge


async def test_a_restart_and_another_replica_answer_without_searching(
    config: KnowledgeConfig, server: RedisServer, write: Write
) -> None:
    source = write("faq.jsonl", [{"id": n, "question": f"question {n}", "answer": f"answer {n}"} for n in range(20)])
    async with knowledge_over(config, server.url) as knowledge:
        await knowledge.sync([source])
        found = await knowledge.retriever.search("question 7")
        await until(lambda: bool(server.names()))
    told: list[CacheEvent] = []
    async with knowledge_over(config, server.url, told) as again:
        assert await again.retriever.search("  question   7 ") == found
        embedder = again.embedder
        assert isinstance(embedder, HashingEmbedder) and embedder.queries == []
    assert told == ["up", "redis"]


async def test_a_changed_sentence_is_the_answer_in_every_process_after_one_sync(
    config: KnowledgeConfig, server: RedisServer, write: Write
) -> None:
    source = write("faq.jsonl", [{"id": 1, "question": "when", "answer": "today"}])
    async with knowledge_over(config, server.url) as one, knowledge_over(config, server.url) as other:
        other.retriever._interval = 0.0
        await one.sync([source])
        assert [(await each.retriever.search("when"))[0].answer for each in (one, other)] == ["today"] * 2
        await until(lambda: bool(server.names()))
        former = server.names()
        write("faq.jsonl", [{"id": 1, "question": "when", "answer": "tomorrow"}])
        await one.sync([source])
        assert [(await each.retriever.search("when"))[0].answer for each in (one, other)] == ["tomorrow"] * 2
        await until(lambda: bool(server.names()) and not set(former) & set(server.names()))


async def test_a_forgotten_document_is_gone_from_redis_when_the_command_ends(
    config: KnowledgeConfig, server: RedisServer, write: Write
) -> None:
    rows = [
        {"id": "safe", "question": "safe", "answer": "four eights"},
        {"id": "when", "question": "when", "answer": "x"},
    ]
    async with knowledge_over(config, server.url) as bot:
        await bot.sync([write("faq.jsonl", rows)])
        assert (await bot.retriever.search("safe"))[0].answer == "four eights"
        await until(lambda: bool(server.names()))
        async with knowledge_over(config, server.url) as command:
            await command.forget("faq.jsonl#safe")
        assert not any(b"four eights" in server.say("GET", name) for name in server.names())
