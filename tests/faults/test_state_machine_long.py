"""The state machine over the core (`tests.core.test_state_machine`) with patience: more sequences, and longer ones."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core import test_state_machine as quick
from tests.faults import seeds

EXAMPLES, STEPS = 400, 50


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_no_sequence_of_events_breaks_a_promise() -> None:
    _, report = seeds.begin("state machine")
    longer = settings(quick.SETTINGS, max_examples=EXAMPLES, stateful_step_count=STEPS)
    with patch("bot.history.database.BUSY_MILLISECONDS", 5):
        run_state_machine_as_test(quick.CoreMachine, settings=longer)
    report.counts |= {"examples": EXAMPLES, "steps": STEPS, "broken": 0}
    report.print()
