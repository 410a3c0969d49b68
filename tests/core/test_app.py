"""The whole product as `bot.app` puts it together, with the sample knowledge and a channel in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import types
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.app import App, open_app
from bot.errors import AlreadyRunning, OperatorError, SettingsError
from bot.messages import ConversationRef, IncomingMessage, Sender
from bot.ports import Intake
from bot.sections import (
    DatabaseSettings,
    FunctionSettings,
    KnowledgeSettings,
    LimitSettings,
    ModelSettings,
    TicketSettings,
)
from bot.settings import Settings
from bot.telemetry import configure_logging, get_logger
from tests.core.test_turns import CLOCK, until
from tests.dialogue.shop import Shop, calls
from tests.fakes.channel import MemoryChannel
from tests.fakes.openai_api import Failed, FakeOpenAI, Said

LIN = ConversationRef(platform="memory", account="", channel="lin")
OPERATORS = ConversationRef(platform="memory", account="", channel="ops")


def settings(folder: Path) -> Settings:
    return Settings(
        database=DatabaseSettings(url=f"sqlite+aiosqlite:///{folder}/data/kefu.db"),
        knowledge=KnowledgeSettings(uri=str(folder / "data" / "knowledge")),
        tickets=TicketSettings(notify=("memory:ops",)),
    )


@contextlib.asynccontextmanager
async def running(
    folder: Path, channel: MemoryChannel, *, modules: tuple[str, ...] = (), **sections: Any
) -> AsyncIterator[App]:
    """The product, serving until the block ends."""
    stop, ready = asyncio.Event(), asyncio.Event()
    wanted = replace(settings(folder), functions=FunctionSettings(modules=modules), **sections)
    async with (
        open_app(wanted, channels=lambda _: [channel], alone=True) as app,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(app.serve(stop, recover=True, ready=lambda _: ready.set()))
        try:
            async with asyncio.timeout(60):
                await ready.wait()
            yield app
        finally:
            stop.set()


def message(words: str, number: int) -> IncomingMessage:
    return IncomingMessage(
        keys=(f"m{number}",),
        conversation=LIN,
        sender=Sender(id="memory:lin", name="林晓 13912345678"),
        text=words,
        sent_at=CLOCK.now(),
        sequence=number,
    )


async def ask(app: App, channel: MemoryChannel, words: str, number: int) -> str:
    before = len(channel.texts(LIN))
    await app.intake.accept([message(words, number)])
    await until(lambda: len(channel.texts(LIN)) > before, 30)
    return channel.texts(LIN)[-1]


async def test_a_question_a_follow_up_a_refusal_and_a_ticket_that_operators_hear_of(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with running(tmp_path, channel) as app:
        assert "验证码" in await ask(app, channel, "密码忘了怎么办", 1)
        shipping = await ask(app, channel, "订单多久发货？", 2)
        returns = await ask(app, channel, "那退货呢？", 3)
        assert "发货" in shipping
        assert "退" in returns and returns != shipping
        assert "抱歉，我暂时无法查询到该问题" in await ask(app, channel, "火星上有你们的门店吗", 4)
        opened = await ask(app, channel, "好的", 5)
        [ticket] = await app.desk.list()
        assert ticket.number in opened
        assert "火星" in " ".join(ticket.transcript)
        await until(lambda: channel.texts(OPERATORS))
        [notice] = channel.texts(OPERATORS)
        assert ticket.number in notice
        assert "13912345678" not in notice, "a group of operators may read it"
        assert all(part.up for part in await app.health())


async def test_operators_hear_of_a_reply_that_comes_back(tmp_path: Path) -> None:
    """Some platforms take a message, and say later that nobody got it."""
    channel = MemoryChannel()
    async with running(tmp_path, channel) as app:
        await ask(app, channel, "密码忘了怎么办", 1)
        [answer] = channel.messages[LIN]
        came_back = app.surroundings.came_back
        elsewhere = replace(LIN, channel="wu")
        assert await came_back(elsewhere, answer.delivery, answer.id, "blocked"), "not hers"
        assert await came_back(LIN, answer.delivery, "another", "blocked"), "not of this message"
        assert not channel.texts(OPERATORS)
        for _ in range(2):
            assert await came_back(LIN, answer.delivery, answer.id, "the customer refuses messages")
        await until(lambda: channel.texts(OPERATORS))
        await asyncio.sleep(0.1)
        [notice] = channel.texts(OPERATORS)
        assert "the customer refuses messages" in notice and str(answer.delivery) in notice
        [stuck] = await app.store.stuck_deliveries()
        assert stuck.id == answer.delivery and stuck.state == "failed"


async def test_what_was_said_survives_a_restart(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with running(tmp_path, channel) as app:
        await ask(app, channel, "订单多久发货？", 1)
    async with running(tmp_path, channel) as app:
        assert "退" in await ask(app, channel, "那退货呢？", 2)


async def test_an_operators_function_is_asked_for_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, module = Shop(), types.ModuleType("kefu_test_shop")
    module.FUNCTIONS = shop.functions()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("bot.answering.make_engine", lambda *_, **__: calls("cancel_order", order_no="1001"))
    channel = MemoryChannel()
    async with running(tmp_path, channel, modules=(module.__name__,)) as app:
        assert "取消订单 1001" in await ask(app, channel, "订单 1001 想取消，怎么操作？", 1)
        assert not shop.cancelled
        assert await ask(app, channel, "好的", 2) == "订单 1001 已取消。"
        await ask(app, channel, "好的", 3)
    assert [(who, order) for who, order, _ in shop.cancelled] == [("memory:lin", "1001")]


def says_the_first_passage(body: dict[str, Any]) -> Said:
    passage = body["messages"][-1]["content"].split("[1] ", 1)[1].split("\n")[1]
    return Said(json.dumps({"response": passage.split("。")[0] + "。", "confidence": 0.9}, ensure_ascii=False))


async def test_a_model_server_answers_and_the_knowledge_itself_while_it_is_down(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with FakeOpenAI(says_the_first_passage) as server:
        model = ModelSettings(backend="openai", base_url=server.url, name=server.model)
        async with running(tmp_path, channel, model=model) as app:
            assert "验证码" in await ask(app, channel, "密码忘了怎么办", 1)
            assert len(server.requests) == 1
            [engine] = [part for part in await app.health() if part.name == "engine"]
            assert (engine.up, engine.detail) == (True, "")
            await server.hang_up()
            assert "发货" in await ask(app, channel, "订单多久发货？", 2)
            [engine] = [part for part in await app.health() if part.name == "engine"]
            assert engine.up and "openai: " in engine.detail and "extractive answers" in engine.detail
        assert server.malformed == []


async def test_without_a_fallback_a_server_that_is_down_is_said_in_words(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with FakeOpenAI(Failed(500, "no GPU left")) as server:
        model = ModelSettings(backend="openai", base_url=server.url, name=server.model, fallback="")
        async with running(tmp_path, channel, model=model) as app:
            said = await ask(app, channel, "密码忘了怎么办", 1)
            assert said.strip() and "GPU" not in said and "500" not in said and "验证码" not in said
            [engine] = [part for part in await app.health() if part.name == "engine"]
            assert not engine.up and "status 500" in engine.detail


async def test_tokens_that_a_server_counts_are_a_persons_share(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with FakeOpenAI(says_the_first_passage) as server:
        model = ModelSettings(backend="openai", base_url=server.url, name=server.model)
        limits = LimitSettings(user_tokens_per_day=200)  # an answer costs 120
        async with running(tmp_path, channel, model=model, limits=limits) as app:
            for number in range(1, 5):
                await ask(app, channel, "密码忘了怎么办", number)
            assert len(server.requests) == 2


async def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, MemoryChannel()):
        with pytest.raises(AlreadyRunning, match="another kefu"):
            async with open_app(settings(tmp_path), channels=lambda _: [], alone=True):
                pass


async def test_operators_can_not_be_told_on_a_channel_that_is_off(tmp_path: Path) -> None:
    elsewhere = replace(settings(tmp_path), tickets=TicketSettings(notify=("telegram:1",)))
    with pytest.raises(SettingsError, match="telegram is not on"):
        async with open_app(elsewhere, channels=lambda _: [MemoryChannel()]):
            pass


async def test_a_reranker_that_can_not_be_loaded_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting would not mend it: somebody has to change something."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # kefu[st] may be installed here
    usual = settings(tmp_path)
    sorted_once_more = replace(usual, knowledge=usual.knowledge.model_copy(update={"reranker": "BAAI/x"}))
    with pytest.RaisesGroup(OperatorError, flatten_subgroups=True, allow_unwrapped=True) as raised:
        async with asyncio.timeout(20), open_app(sorted_once_more, channels=lambda _: []) as app:
            await app.serve(asyncio.Event(), recover=True)
    assert "knowledge.reranker" in repr(raised.value)


async def test_no_secret_of_the_settings_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = settings(tmp_path)
    told = KnowledgeSettings.model_validate(
        usual.knowledge.model_dump() | {"embedder_url": "http://vectors.example/v1", "embedder_key": "vectors-hunter2"}
    )
    async with open_app(replace(usual, knowledge=told), channels=lambda _: []):
        configure_logging(level="info", json=True, redact=True, stream=sys.stderr)
        get_logger("bot.test").info("a library repeats it", header="key vectors-hunter2")
    printed = capsys.readouterr().err
    assert "a library repeats it" in printed
    assert "hunter2" not in printed


async def test_a_receiver_that_dies_is_started_again(tmp_path: Path) -> None:
    class Mortal(MemoryChannel):
        starts = 0

        async def run(self, intake: Intake) -> None:
            Mortal.starts += 1
            if Mortal.starts == 1:
                raise RuntimeError("a defect")
            await super().run(intake)

    channel = Mortal()
    async with running(tmp_path, channel) as app:
        await until(lambda: Mortal.starts == 2, 10)
        assert await ask(app, channel, "谢谢", 1)
