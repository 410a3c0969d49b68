"""A model of the world around the core, for Hypothesis to find the sequence of events that breaks a promise.

The core is real: inbox, lanes, turns, outbox, desk, and a SQLite file. Time is virtual, the channel is in memory and
fails on purpose, a crash is a copy of the database at that moment and a new core upon it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, text

from bot.errors import NotFound, StoreUnavailable
from bot.messages import ConversationRef, IncomingMessage, MessageKind, Receipt, ReceiptStatus, Sender
from tests.core import sqlite
from tests.core.house import House, copy_database, new_database, open_house
from tests.fakes.channel import MemoryChannel, Mishap
from tests.fakes.clocks import START, VirtualClock, VirtualLoop
from tests.fakes.dialogue import ScriptedDialogue, final_tokens, tokens

CONVERSATIONS = tuple(ConversationRef(platform="memory", account="", channel=name) for name in ("p1", "p2", "g1", "g2"))
PEOPLE = ("memory:1", "memory:2")
LONG = 900.0
"""Virtual seconds in which everything ends that can: the longest back-off, three attempts, a turn's time."""
OPEN = """SELECT (SELECT count(*) FROM inbound WHERE state IN ('waiting', 'working'))
    + (SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'sending')) AS open"""


def is_group(conversation: ConversationRef) -> bool:
    """Groups show a placeholder first, so that a repeated final is harmless there."""
    return conversation.channel.startswith("g")


@dataclass(slots=True)
class Event:
    """One thing the platform has to tell us, until it is acknowledged."""

    message: IncomingMessage
    acked: bool = False
    receipts: list[Receipt] = field(default_factory=list)


class World:
    """People, platform and process, in the hands of a test."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.clock = VirtualClock(self.loop)
        # The writer's patience is counted on this clock too: a slow machine has to see what a fast one sees.
        self._patience = patch("bot.history.database.time", SimpleNamespace(monotonic=self.loop.time))
        self._patience.start()
        self.root = Path(tempfile.mkdtemp(prefix="kefu-machine-"))
        self.crashes = 0
        self.path = new_database(self._folder())
        self.channel = self._channel()
        self.dialogue = ScriptedDialogue()
        self.overlaps = 0
        self.events: dict[str, Event] = {}
        self.edits: dict[str, Event] = {}
        self.agent_texts: set[str] = set()
        self.accepting: dict[asyncio.Task[tuple[Receipt, ...]], list[Event]] = {}
        self.locked: Any = None
        self.house: House
        self._stack: contextlib.AsyncExitStack
        self._open()

    # -- The process --

    def _folder(self) -> Path:
        folder = self.root / str(self.crashes)
        folder.mkdir()
        return folder

    def _channel(self) -> MemoryChannel:
        return MemoryChannel(placeholders=is_group, show_interval=0.5, seconds=0.05)

    def _open(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        opening = open_house(self.path, [self.channel], self.dialogue, clock=self.clock, workers=8)
        self.house = self.loop.run_until_complete(self._stack.enter_async_context(opening))

    def _close(self) -> None:
        self.loop.run_until_complete(self._stack.aclose())

    def crash(self) -> None:
        """Everything in memory is gone; what was committed is there."""
        self.unlock()
        self._note_acks()
        self.crashes += 1
        self.path = copy_database(self.path, self._folder())
        self.channel.dead = True
        for task in self.accepting:
            task.cancel()
        self.accepting.clear()
        self._close()
        survivor = self._channel()
        survivor.messages, survivor.mishaps, survivor.down = (
            self.channel.messages,
            self.channel.mishaps,
            self.channel.down,
        )
        self.channel = survivor
        self.overlaps += self.dialogue.overlaps
        self.dialogue = ScriptedDialogue()
        self._open()

    def end(self) -> None:
        self.unlock()
        self._close()
        self.loop.close()
        self._patience.stop()
        asyncio.set_event_loop(None)
        shutil.rmtree(self.root)

    # -- Time --

    def ticks(self, number: int) -> None:
        """A few rounds of the loop: stops in the middle of things."""
        self.loop.ticks(number)
        self._note_acks()

    def sleep(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._note_acks()

    # -- The platform --

    def message(self, conversation: int, person: int, words: str, sequence: int) -> IncomingMessage:
        """A new message with a token of its own; `sequence` is the platform's order."""
        token = f"T{len(self.events) + 1}"
        made = IncomingMessage(
            keys=(f"update:{token}", f"message:{token}"),
            conversation=CONVERSATIONS[conversation],
            sender=Sender(id=PEOPLE[person]),
            text=f"{words} {token}".strip(),
            sent_at=START + timedelta(seconds=self.loop.time()),
            sequence=sequence,
            message_id=f"m{token}",
            direct=not is_group(CONVERSATIONS[conversation]),
        )
        self.events[token] = Event(made)
        return made

    def edit(self, token: str) -> Event | None:
        """The person adds a word to an earlier message; once a message."""
        event = self.events[token]
        if token in self.edits or event.message.kind is not MessageKind.TEXT:
            return None
        changed = replace(
            event.message,
            kind=MessageKind.EDIT,
            keys=(f"edit:{token}",),
            text=f"{event.message.text} besser",
            sent_at=START + timedelta(seconds=self.loop.time()),
        )
        self.edits[token] = Event(changed)
        return self.edits[token]

    def deliver(self, events: list[Event]) -> None:
        """Hands events in; whether they are acknowledged is seen later."""
        intake = self.house.inbox
        task = self.loop.create_task(intake.accept([event.message for event in events]))
        self.accepting[task] = events

    def stop(self, conversation: int, person: int) -> None:
        self.deliver(
            [
                Event(
                    IncomingMessage(
                        keys=(f"stop:{self.loop.time()}:{random.random()}",),
                        conversation=CONVERSATIONS[conversation],
                        sender=Sender(id=PEOPLE[person]),
                        kind=MessageKind.STOP,
                        sent_at=self.clock.now(),
                    )
                )
            ]
        )

    def _note_acks(self) -> None:
        for task in [task for task in self.accepting if task.done()]:
            events = self.accepting.pop(task)
            if task.cancelled() or isinstance(task.exception(), StoreUnavailable):
                continue
            for event, receipt in zip(events, task.result(), strict=True):
                event.acked = True
                event.receipts.append(receipt)

    def mishap(self, kind: Mishap) -> None:
        self.channel.mishaps.append(kind)

    def agent_replies(self, number: str) -> None:
        """An agent answers a ticket."""
        words = f"A{len(self.agent_texts) + 1} 完"
        try:
            self.loop.run_until_complete(self.house.desk.reply(number, words, agent="小王"))
        except (NotFound, StoreUnavailable):
            return
        self.agent_texts.add(words)

    # -- The database from outside --

    def lock(self) -> None:
        """Another process holds the database."""
        if self.locked is None:
            library = sqlite.library()
            other = library.connect(str(self.path), isolation_level=None, timeout=1.0)
            try:
                other.execute("BEGIN EXCLUSIVE")
            except library.OperationalError:
                other.close()
                return
            self.locked = other

    def unlock(self) -> None:
        if self.locked is not None:
            self.locked.rollback()
            self.locked.close()
            self.locked = None

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What is stored, as a reader beside the process sees it."""

        def work(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

        return self.loop.run_until_complete(self.house.database.read(work))

    # -- The promises --

    def calm(self) -> None:
        """All faults end, what was not acknowledged comes again, and everything gets its time."""
        self.unlock()
        self.channel.mishaps.clear()
        self.channel.down = False
        self.sleep(5)
        for event in [*self.events.values(), *self.edits.values()]:
            if not event.acked:
                self.deliver([event])
        for _ in range(int(LONG / 30)):
            self.sleep(30)
            if not self.accepting and self.rows(OPEN) == [{"open": 0}]:
                break
        assert not self.accepting, "a message was neither acknowledged nor refused"
        assert all(event.acked for event in self.events.values())

    def check_always(self) -> None:
        """What holds at every moment."""
        assert self.overlaps + self.dialogue.overlaps == 0, "two answers were made for one conversation at a time (P4)"
        for delivery, copies in self._copies().items():
            assert copies <= 2, f"delivery {delivery} was said {copies} times (P3)"

    def check_at_rest(self) -> None:
        """What holds when everything has had its time."""
        inbound = self.rows("SELECT id, text, state, turn_id FROM inbound")
        stored = {token: row for row in inbound for token in tokens(row["text"])}
        assert len(inbound) == len(self.events), "one row a message (P1, P2)"
        for token in self.events:
            assert stored[token]["state"] in {"done", "parked"}, f"{token} was forgotten: {stored[token]['state']} (P1)"
        self._check_deliveries()
        self._check_history()
        subjects = Counter(
            token for row in self.rows("SELECT subject FROM tickets") for token in tokens(row["subject"])
        )
        assert all(count == 1 for count in subjects.values()), f"a ticket was opened twice: {subjects} (P2)"
        assert self.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]

    def _copies(self) -> Counter[int]:
        there = self.channel.messages.values()
        return Counter(message.delivery for messages in there for message in messages if message.delivery)

    def _check_deliveries(self) -> None:
        copies = self._copies()
        answered: Counter[str] = Counter()
        texts = {message.delivery: message.text for there in self.channel.messages.values() for message in there}
        query = (
            "SELECT d.id, d.state, d.author, d.placeholder, json_extract(d.reply, '$.text') AS words, c.channel"
            " FROM deliveries d JOIN conversations c ON c.id = d.conversation_id"
        )
        for row in self.rows(query):
            assert row["state"] in {"sent", "unknown", "failed"}, f"a reply is stuck: {row} (P3)"
            said = copies[row["id"]]
            assert said or row["state"] != "sent", f"a reply counts as sent, but never was: {row} (P3)"
            assert said <= 1 or row["placeholder"] is None, f"written into a message, and said again: {row} (P3)"
            if said:
                assert texts[row["id"]] == row["words"]
            if row["author"] == "bot":
                answered.update(final_tokens(row["words"]))
        silent = self._silent()
        assert set(answered) | silent >= set(self.events), "a message has neither an answer nor an operator (P1)"
        assert all(count == 1 for count in answered.values()), f"answered twice: {answered} (P2)"

    def _silent(self) -> set[str]:
        """Tokens of the turns that were to end without a word: one message that says so silences its whole turn."""
        together: dict[str, list[str]] = {}
        for row in self.rows("SELECT turn_id, text FROM inbound WHERE turn_id IS NOT NULL"):
            together.setdefault(row["turn_id"], []).append(row["text"])
        turns = [" ".join(texts) for texts in together.values()]
        return {token for words in turns if "silent" in words for token in tokens(words)}

    def _check_history(self) -> None:
        said = self.rows(
            "SELECT h.text, h.conversation_id, h.person_id, h.sequence FROM history h"
            " WHERE role = 'customer' ORDER BY h.sequence, h.rank, h.id"
        )
        by_token = {token: row["text"] for row in said for token in tokens(row["text"])}
        assert len(said) == len(self.events), "each message stands in history once"
        for token, edit in self.edits.items():
            if any(receipt.status is ReceiptStatus.EDITED for receipt in edit.receipts):
                assert by_token[token] == edit.message.text, "an edit did not reach history (P4)"
