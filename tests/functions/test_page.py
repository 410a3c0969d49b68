"""docs/functions.md shows the code that is tested here, and what it says of the house is so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.dialogue.functions.base import MAX_SECONDS
from bot.dialogue.functions.discovery import find_functions
from bot.dialogue.functions.registry import Functions
from bot.engine.grammar import output_tag
from bot.errors import BadOutput, FunctionFailed
from bot.messages import FunctionCall, Language
from tests.dialogue.people import CallsInMemory, Customer, StandingClock, TicketsInMemory
from tests.functions.acme_functions.orders import functions

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "functions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("file", ["acme_functions/orders.py", "test_orders.py"])
def test_the_page_shows_the_code_as_it_is(file: str) -> None:
    # The reader's module lies in a distribution of its own, the tested one among our tests.
    code = (
        (HERE / file).read_text(encoding="utf-8").replace("from tests.functions.acme_functions", "from acme_functions")
    )
    assert code in BLOCKS


def test_what_the_page_says_of_limits_is_so() -> None:
    assert f"at most {MAX_SECONDS:g}" in PAGE


async def test_the_example_is_found_by_the_name_of_its_module() -> None:
    found = await asyncio.to_thread(find_functions, ("tests.functions.acme_functions.orders",))
    assert [function.name for function in found] == ["order_status", "cancel_order"]


@pytest.fixture
async def hanging() -> AsyncIterator[str]:
    """A service that takes the call and says nothing."""
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    application = web.Application()
    application.router.add_get("/orders/{number}", hang)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")
        released.set()


async def test_in_the_house_a_service_that_hangs_is_given_up_in_time(hanging: str) -> None:
    look_up, _ = functions(hanging)
    house = Functions((replace(look_up, seconds=0.1),), log=CallsInMemory(), clock=StandingClock())
    ann = Customer(dialogue=None, tickets=TicketsInMemory())  # type: ignore[arg-type]
    call = house.parse(FunctionCall(name="order_status", arguments={"order_no": "SO1001"}), ("default",))
    async with asyncio.timeout(5):
        with pytest.raises(FunctionFailed):
            await house.look_up(call, ann.turn(ann.message("x")), "zh")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_in_the_house_a_model_can_be_held_to_the_arguments(language: Language) -> None:
    house = Functions(functions("http://127.0.0.1:1"), log=CallsInMemory(), clock=StandingClock())
    grammar = output_tag(house.specs(language, ("default",), wish=1.0, has_ticket=True), max_chars=150)
    assert "order_status" in grammar and "cancel_order" in grammar


@pytest.mark.parametrize("order_no", ["", "1001", "SO1001/../SO1", "SO1001?customer=telegram:2", "SO10 01"])
def test_in_the_house_no_other_number_reaches_the_service(order_no: str) -> None:
    house = Functions(functions("http://127.0.0.1:1"), log=CallsInMemory(), clock=StandingClock())
    with pytest.raises(BadOutput):
        house.parse(FunctionCall(name="order_status", arguments={"order_no": order_no}), ("default",))
