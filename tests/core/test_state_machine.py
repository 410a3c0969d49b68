"""P1 to P5 under any sequence of events that Hypothesis can think of; see `tests.core.machine`."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.core.machine import CONVERSATIONS, World
from tests.fakes.channel import Mishap
from tests.fakes.logs import plain_logs

PLACES = st.integers(0, len(CONVERSATIONS) - 1)
PEOPLE = st.integers(0, 1)
WORDS = st.sampled_from(
    ["", "", "", "ticket", "slow 1", "slow 30", "hang", "fail", "late-engine 1", "late-engine 2 ticket", "silent"]
)
MISHAPS: st.SearchStrategy[Mishap] = st.sampled_from(
    ["refused", "lost", "lost after", "hang", "hang after", "undeliverable"]
)
CHANCE = st.integers(0, 10**6)


class CoreMachine(RuleBasedStateMachine):
    """People write, the platform stutters, the process dies, the disk is busy, the channel breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.order = 0

    # -- People --

    @rule(place=PLACES, person=PEOPLE, words=WORDS, count=st.integers(1, 3), shuffled=st.booleans())
    def deliver(self, place: int, person: int, words: str, count: int, shuffled: bool) -> None:
        """Messages arrive together, perhaps in another order than they were written."""
        made = []
        for _ in range(count):
            self.order += 1
            message = self.world.message(place, person, words, self.order)
            made.append(self.world.events[message.message_id.removeprefix("m")])
        self.world.deliver(made[::-1] if shuffled else made)

    @precondition(lambda self: self.world.events)
    @rule(which=CHANCE, times=st.integers(1, 3))
    def duplicate(self, which: int, times: int) -> None:
        """The platform sends something again, in parallel with itself."""
        events = [*self.world.events.values(), *self.world.edits.values()]
        for _ in range(times):
            self.world.deliver([events[which % len(events)]])

    @precondition(lambda self: self.world.events)
    @rule(which=CHANCE)
    def edit(self, which: int) -> None:
        tokens = list(self.world.events)
        event = self.world.edit(tokens[which % len(tokens)])
        if event is not None:
            self.world.deliver([event])

    @rule(place=PLACES, person=PEOPLE)
    def stop(self, place: int, person: int) -> None:
        self.world.stop(place, person)

    @precondition(lambda self: self.world.events and self.world.locked is None)
    @rule(which=CHANCE)
    def agent_replies(self, which: int) -> None:
        numbers = [row["number"] for row in self.world.rows("SELECT number FROM tickets ORDER BY rowid")]
        if numbers:
            self.world.agent_replies(numbers[which % len(numbers)])

    # -- Faults --

    @rule(kind=MISHAPS)
    def mishap(self, kind: Mishap) -> None:
        """The next send that gets so far goes wrong in this way."""
        self.world.mishap(kind)

    @rule(down=st.booleans())
    def line(self, down: bool) -> None:
        """The platform can not be reached at all, or again."""
        self.world.channel.down = down

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule(ticks=st.integers(1, 40))
    def crash_in_the_middle(self, ticks: int) -> None:
        self.world.ticks(ticks)
        self.world.crash()

    @rule(hold=st.booleans())
    def lock(self, hold: bool) -> None:
        """Another process takes the database for itself, or lets go of it."""
        if hold:
            self.world.lock()
        else:
            self.world.unlock()

    @rule(hours=st.sampled_from([-1, 24]))
    def clock_jumps(self, hours: int) -> None:
        from datetime import timedelta

        self.world.clock.offset += timedelta(hours=hours)

    # -- Time --

    @rule(ticks=st.integers(1, 30))
    def moment(self, ticks: int) -> None:
        self.world.ticks(ticks)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 120.0]))
    def wait(self, seconds: float) -> None:
        self.world.sleep(seconds)

    @invariant()
    def promises(self) -> None:
        self.world.check_always()

    def teardown(self) -> None:
        try:
            self.world.calm()
            self.world.check_always()
            self.world.check_at_rest()
        finally:
            self.world.end()


@pytest.fixture(autouse=True)
def _short_waits_and_logs() -> Iterator[None]:
    """A lock is waited for in the writer's thread, in real time."""
    with patch("bot.history.database.BUSY_MILLISECONDS", 5), plain_logs():
        yield


SETTINGS = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def test_the_core_keeps_its_promises() -> None:
    run_state_machine_as_test(CoreMachine, settings=SETTINGS)


def test_a_turn_that_fails_while_the_process_ends_does_not_go_on_for_ever() -> None:
    """Found by the long form: the turn's TaskGroup forgot the cancellation over the failure; closing never ended."""
    machine = CoreMachine()
    machine.deliver(count=1, person=0, place=0, shuffled=False, words="ticket")
    machine.wait(seconds=1.0)
    machine.deliver(count=2, person=1, place=0, shuffled=False, words="fail")
    for _ in range(20):
        machine.agent_replies(which=0)
        machine.stop(person=0, place=0)
        machine.crash()
        machine.world.ticks(1)
    machine.teardown()
