"""The composition root: settings become objects here, and every lifetime is owned here.

`open_app` builds, `App.serve` runs and drains, leaving the context closes.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection, text

from bot import lock
from bot.answering import Answering, dialogue_settings
from bot.cancellation import is_cancelled
from bot.clock import SystemClock
from bot.dialogue.endings import Endings
from bot.dialogue.functions.base import Function
from bot.dialogue.functions.discovery import find_functions
from bot.dialogue.functions.registry import Functions
from bot.dialogue.functions.tickets import ticket_functions
from bot.dialogue.phrases import Phrases
from bot.dialogue.ticketing import Ticketing
from bot.errors import OperatorError, SettingsError, StoreUnavailable
from bot.history import schema
from bot.history.database import Database, sqlite_path
from bot.history.function_calls import StoredCalls
from bot.history.store import Store
from bot.history.turns import Limits, unfinished
from bot.ledger import product_ledger
from bot.messages import ConversationRef
from bot.ports import Channel, HttpChannel, Surroundings
from bot.privacy import Redactor
from bot.replaying import Replayer
from bot.server.admin import AdminToken, ensure_admin_token
from bot.server.app import build_server
from bot.server.listening import HttpServer
from bot.server.ports import PartHealth
from bot.settings import Settings, channel_module
from bot.source_settings import SourceSettings
from bot.sources import KEPT_FOLDER, SourceKeeper, make_source
from bot.telemetry import Metrics, get_logger, register_secret
from bot.tickets.desk import Desk
from bot.tickets.notices import OperatorNotices
from bot.tickets.watch import ChannelWatch
from bot.turns.delivery import Outbox
from bot.turns.inbox import Inbox
from bot.turns.lanes import Lanes
from bot.turns.limits import QueueLimits
from bot.turns.runner import TurnRunner
from knowledge.sources.base import Source

LANE_WORKERS = 256
"""Turns side by side. An engine bounds its own work; a worker that waits for it costs a few kilobytes."""
DRAIN_SECONDS = 20.0
SETTLE_SECONDS = 4.0
PROBE_SECONDS = 2.0
RESTART_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)

ChannelsOf = Callable[[Surroundings], Sequence[Channel]]

log = get_logger(__name__)


class App:
    """Everything that runs, put together. Made by `open_app`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        *,
        channels: ChannelsOf,
        functions: Sequence[Function[Any]],
    ) -> None:
        clock = SystemClock()
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._database = database
        self.store = Store(database, clock)
        self.desk = Desk(database, prefix=settings.tickets.prefix, clock=clock, wake_outbox=self._wake_outbox)
        self.surroundings = self._surroundings()
        self.channels: Mapping[tuple[str, str], Channel] = {
            (channel.platform, channel.account): channel for channel in channels(self.surroundings)
        }
        phrases = Phrases(refusal=settings.dialogue.refusal)
        says = dialogue_settings(settings)
        redactor = Redactor(enabled=settings.privacy.redact)
        notices = OperatorNotices(_addresses(settings, self.channels), phrases, redactor)
        ticketing = Ticketing(tickets=self.desk, phrases=phrases, settings=says, clock=clock)
        self._answering = Answering(
            settings,
            says,
            phrases=phrases,
            ticketing=ticketing,
            functions=Functions(
                (*ticket_functions(ticketing), *functions), log=StoredCalls(database, clock), clock=clock
            ),
            ledger=product_ledger(database, settings.database.url),
            metrics=metrics,
            clock=clock,
            data=data_folder(settings),
        )
        endings = Endings(phrases, says, self.desk, ticketing, clock)
        self._outbox = Outbox(database, self.channels, notices=notices, metrics=metrics, clock=clock)
        self._runner = TurnRunner(
            database,
            self._answering,
            endings,
            self._outbox,
            self.channels,
            notices=notices,
            limits=Limits(
                history_turns=settings.dialogue.history_turns,
                # The extractive engine uses no tokens, so nothing has to be added up.
                tokens_per_day=0 if settings.model.backend == "extractive" else settings.limits.user_tokens_per_day,
            ),
            turn_seconds=says.turn_seconds,
            metrics=metrics,
            clock=clock,
        )
        self._watch = ChannelWatch(
            self.channels,
            notices=notices,
            language="en" if settings.dialogue.language == "en" else "zh",
            database=database,
            wake_outbox=self._outbox.wake,
            clock=clock,
        )
        self._keeper = SourceKeeper(
            settings.knowledge.sources, make=source_maker(settings), metrics=metrics, clock=clock
        )
        self._replayer = Replayer(self._answering, database, folder=data_folder(settings), clock=clock)
        self._lanes = Lanes(self._runner.run_turn, workers=LANE_WORKERS, metrics=metrics)
        self.intake = Inbox(
            database,
            self._lanes,
            self._runner,
            self._outbox.wake,
            limits=QueueLimits(
                user_per_minute=settings.limits.user_per_minute,
                queue_per_conversation=settings.limits.queue_per_conversation,
                queue_total=settings.limits.queue_total,
                max_message_chars=settings.limits.max_message_chars,
            ),
            busy=endings.busy,
            expect=self._answering.expect,
            metrics=metrics,
            clock=clock,
        )

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            clock=self._clock,
            metrics=self._metrics,
            records=self.store,
            tickets=self.desk,
            database=self._database,
            came_back=self._came_back,
            public_url=self._settings.http.public_url,
            max_message_chars=self._settings.limits.max_message_chars,
            max_body_bytes=self._settings.limits.max_body_bytes,
        )

    def _wake_outbox(self) -> None:
        self._outbox.wake()

    async def _came_back(self, conversation: ConversationRef, delivery: int, message_id: str, reason: str) -> bool:
        return await self._outbox.came_back(conversation, delivery, message_id, reason)

    async def serve(
        self,
        stop: asyncio.Event,
        *,
        http: AdminToken | None = None,
        recover: bool = False,
        ready: Callable[[str], None] | None = None,
    ) -> None:
        """Runs every channel until `stop` is set, then drains: what is not finished in time is taken up next time.

        :param http: listen on `http.port`, with this token for the tickets API.
        :param recover: take up what an earlier process left (for the one process that owns the database).
        :param ready: told the server's address (or "") once messages are answered.
        :raises OperatorError: something has to be changed before this can run.
        """
        try:
            await self._serve(stop, http=http, recover=recover, ready=ready)
        except ExceptionGroup as failures:
            operator = failures.subgroup(OperatorError)
            raise (_first(operator) if operator is not None else failures) from None

    async def _serve(
        self,
        stop: asyncio.Event,
        *,
        http: AdminToken | None,
        recover: bool,
        ready: Callable[[str], None] | None,
    ) -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(self._server(http)) if http is not None else None
            async with asyncio.TaskGroup() as group:
                receiving = [
                    group.create_task(self._keep_receiving(channel), name=f"{channel.platform} receiver")
                    for channel in self.channels.values()
                ]
                receiving.append(group.create_task(self._announce(server.address if server else "", ready)))
                working = [
                    group.create_task(self._outbox.run(take_up=recover), name="outbox"),
                    group.create_task(self._answer(stack, recover=recover), name="lanes"),
                    group.create_task(self._probe(), name="probe"),
                ]
                if recover:
                    # Only in the process that runs for long: `kefu chat` answers from what is there.
                    working.append(group.create_task(self._keep_sources(), name="sources"))
                    working.append(group.create_task(self._answering.keep_whole(), name="index"))
                    working.append(group.create_task(self._replayer.run(), name="replay"))
                await stop.wait()
                await self._drain(server, receiving)
                for task in working:
                    task.cancel()

    async def _drain(self, server: HttpServer | None, receiving: Sequence[asyncio.Task[None]]) -> None:
        """Accepts nothing more, and lets what runs come to its end."""
        log.info("stopping")
        for task in receiving:
            task.cancel()
        if server is not None:
            await server.stop_accepting()
        if not await self._lanes.drain(DRAIN_SECONDS):
            log.warning("some turns did not end in time; the next start takes them up")
        await self._outbox.settle(SETTLE_SECONDS)

    def _server(self, admin: AdminToken) -> HttpServer:
        http = self._settings.http
        web = self._settings.channels.get("web")
        application = build_server(
            desk=self.desk,
            feedback=self.store,
            health=self.health,
            metrics=self._metrics,
            admin=admin,
            channels=[channel for channel in self.channels.values() if _serves_http(channel)],
            intake=self.intake,
            max_body_bytes=self._settings.limits.max_body_bytes,
            allowed_origins=getattr(web, "allowed_origins", ()),
        )
        return HttpServer(application, http.host, http.port)

    async def _announce(self, address: str, ready: Callable[[str], None] | None) -> None:
        await self._answering.wait()
        log.info("ready", address=address)
        if ready is not None:
            ready(address)

    async def _answer(self, stack: AsyncExitStack, *, recover: bool) -> None:
        """Opens what answers, takes up what is unfinished, and works. Messages are accepted meanwhile."""
        await self._answering.open(stack, patient=recover)
        for platform, account in self.channels if recover else ():
            await self._take_up(platform, account)
        await self._lanes.run()

    async def _keep_sources(self) -> None:
        await self._keeper.run(await self._answering.knowledge())

    async def _take_up(self, platform: str, account: str) -> None:
        found = await self._database.read(lambda connection: unfinished(connection, platform, account))
        for conversation, suspect in found:
            if suspect:
                self._runner.suspect(conversation)
            self._lanes.wake(conversation)
        if found:
            log.info("unfinished conversations are taken up", platform=platform, count=len(found))

    async def _keep_receiving(self, channel: Channel) -> None:
        """A receiver that dies of a defect is started again: a deaf channel is worse than a noisy log."""
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                await channel.run(self.intake)
            except Exception:  # whatever it was, the other channels go on
                log.exception("a channel's receiver died", platform=channel.platform)
            if is_cancelled():
                raise asyncio.CancelledError
            if self._clock.monotonic() - started > 2 * RESTART_SECONDS[-1]:
                failures = 0
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])
            failures += 1

    async def _probe(self) -> None:
        """Notices a database that can not commit although nobody writes, and one that can again."""
        while True:
            with suppress(StoreUnavailable):  # Database.available says so
                await self._database.write(_nothing, patience=1.0)
            for channel in self.channels.values():
                self._metrics.channel_up.labels(channel.platform).set(channel.health().up)
            self._answering.measure()
            await self._watch.look()
            await asyncio.sleep(PROBE_SECONDS)

    async def health(self) -> tuple[PartHealth, ...]:
        """Each part's state, for /readyz."""
        commits = self._database.available
        database = PartHealth(name="database", up=commits, needed=True, detail="" if commits else "can not commit")
        states = [(channel.platform, channel.health()) for channel in self.channels.values()]
        channels = [PartHealth(name=name, up=state.up, needed=False, detail=state.detail) for name, state in states]
        return (database, *self._answering.health(), *channels)


@asynccontextmanager
async def open_app(
    settings: Settings, *, channels: ChannelsOf | None = None, alone: bool = False
) -> AsyncIterator[App]:
    """Builds everything and closes it in the end. Knowledge and engine are opened by `serve`, after intake.

    :param channels: instead of those that the settings switch on.
    :param alone: this process answers for the whole database (`kefu run`), and no second one may.
    :raises OperatorError: settings, database or data folder are not usable.
    """
    for secret in _secrets(settings):
        register_secret(secret)
    functions = await asyncio.to_thread(find_functions, settings.functions.modules)
    async with AsyncExitStack() as stack:
        file = sqlite_path(settings.database.url)
        if alone and file is not None:
            stack.callback(os.close, await asyncio.to_thread(lock.hold, file))
        await asyncio.to_thread(schema.upgrade, settings.database.url)
        metrics = Metrics()
        database = await stack.enter_async_context(Database(settings.database.url, metrics=metrics))
        switched_on = channels or (lambda around: _switched_on(settings, around))
        app = App(settings, database, metrics, channels=switched_on, functions=functions)
        for channel in app.channels.values():
            stack.push_async_callback(channel.close)
        yield app


async def admin_token(settings: Settings) -> tuple[AdminToken, str | None]:
    """The token of the tickets API, and its clear text if it was made just now."""
    token, made = await asyncio.to_thread(
        ensure_admin_token, settings.admin.token.get_secret_value(), data_folder(settings)
    )
    if made is not None:
        register_secret(made)
    return token, made


def data_folder(settings: Settings) -> Path:
    """Where small files of ours live: beside the database, so that moving the folder moves everything."""
    file = sqlite_path(settings.database.url)
    return file.parent if file is not None else Path("data")


def source_maker(settings: Settings) -> Callable[[SourceSettings], Source]:
    """Makes the sources of the settings."""
    return functools.partial(
        make_source,
        keep=data_folder(settings) / KEPT_FOLDER,
        allow_private=settings.knowledge.allow_private_addresses,
    )


def _switched_on(settings: Settings, surroundings: Surroundings) -> list[Channel]:
    found: list[Channel] = []
    for channel_settings in settings.channels.values():
        if channel_settings.on:
            # Imported only now: a platform's library costs a second that others need not pay.
            module = importlib.import_module(channel_module(channel_settings, "build"))
            found.append(module.build(channel_settings, surroundings))
    return found


def _serves_http(channel: Channel) -> TypeGuard[HttpChannel]:
    return callable(getattr(channel, "routes", None))


def _addresses(settings: Settings, channels: Mapping[tuple[str, str], Channel]) -> list[ConversationRef]:
    """Where operators are told of tickets: the addresses of `tickets.notify`, on channels that are on."""
    accounts = dict(channels)
    found = []
    for address in settings.tickets.notify:
        platform, _, channel = address.partition(":")
        account = next((account for name, account in accounts if name == platform), None)
        if account is not None:
            found.append(ConversationRef(platform=platform, account=account, channel=channel))
        elif any(name != "terminal" for name, _ in accounts):
            raise SettingsError(f"tickets.notify: {platform} is not on, so nobody can be told there")
    return found


def _secrets(settings: Settings) -> list[str]:
    """Every secret of the settings, so that no log line shows one."""
    sections: list[Any] = [settings.model, settings.knowledge, settings.admin, *settings.channels.values()]
    values = [
        value
        for section in sections
        if isinstance(section, BaseModel)
        for value in vars(section).values()
        if isinstance(value, SecretStr)
    ]
    values += [source.database for source in settings.knowledge.sources]
    values.append(SecretStr(unquote(urlsplit(settings.cache.url).password or "")))
    return [value.get_secret_value() for value in values if value.get_secret_value()]


def _first(failures: BaseExceptionGroup[OperatorError]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _nothing(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
