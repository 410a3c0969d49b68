"""The registry: what is told to a model, what it may call, and what a call gives."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import structlog
from pydantic import Field

from bot.dialogue import functions as package
from bot.dialogue.functions.base import Arguments, Caller, Function, Result, Words
from bot.dialogue.functions.discovery import find_functions
from bot.dialogue.functions.registry import MAX_RESULT_CHARS, WISH, Functions
from bot.dialogue.functions.tickets import CreateSupportTicket, HandToPerson, ticket_functions
from bot.dialogue.phrases import Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.errors import BadOutput, FunctionFailed, OperatorError, SettingsError, StoreUnavailable, Unconfirmed
from bot.messages import FunctionCall
from tests.dialogue.people import CallsInMemory, Customer, StandingClock, TicketsInMemory
from tests.dialogue.shop import Nothing, Order, Shop

EVERYBODY = ("default",)


def registry(*functions: Function[Any]) -> Functions:
    clock = StandingClock()
    ticketing = Ticketing(tickets=TicketsInMemory(), phrases=Phrases(), settings=DialogueSettings(), clock=clock)
    return Functions((*ticket_functions(ticketing), *functions), log=CallsInMemory(), clock=clock)


def ann(*collections: str) -> Customer:
    """Somebody whose turns nobody answers."""
    return Customer(dialogue=None, tickets=TicketsInMemory(), collections=collections or EVERYBODY)  # type: ignore[arg-type]


def look_up_of(run: Any, *, seconds: float = 5.0) -> Function[Any]:
    words = Words(zh="查", en="look up")
    return Function(name="look_up", description=words, arguments=Nothing, run=run, changes=False, seconds=seconds)


async def told(function: Function[Any]) -> Result:
    """What the function gives somebody who calls it."""
    functions, customer = registry(function), ann()
    call = functions.parse(FunctionCall(name=function.name, arguments={}), EVERYBODY)
    return await functions.look_up(call, customer.turn(customer.message("x")), "zh")


# -- What a model is told --


def test_a_model_is_told_of_every_function_in_its_language() -> None:
    chinese, english = (registry().specs(language, EVERYBODY, wish=1.0, has_ticket=True) for language in ("zh", "en"))
    assert [spec.name for spec in chinese] == ["create_support_ticket", "ticket_status", "hand_to_person"]
    assert chinese[0].description != english[0].description
    issue = english[0].parameters["properties"]["issue"]
    assert issue["description"] == "The problem, in the customer's own words"
    assert english[0].parameters["additionalProperties"] is False
    assert english[0].parameters["required"] == ["issue"]


@pytest.mark.parametrize(
    ("wish", "has_ticket", "withheld"),
    [
        pytest.param(WISH, True, [], id="a wish"),
        pytest.param(WISH, False, ["ticket_status"], id="a wish of somebody without a ticket"),
        pytest.param(WISH - 0.01, True, ["create_support_ticket", "hand_to_person"], id="no wish"),
    ],
)
def test_a_model_is_told_of_functions_that_it_can_not_call_in_this_turn(
    wish: float, has_ticket: bool, withheld: list[str]
) -> None:
    functions = registry(*Shop().functions())
    told = functions.specs("zh", EVERYBODY, wish=wish, has_ticket=has_ticket)
    assert [spec.name for spec in told if spec.withheld] == withheld
    assert len(told) == len(functions.specs("zh", EVERYBODY, wish=1.0, has_ticket=True))


class Delivery(Arguments):
    day: Annotated[date, Words(zh="哪一天", en="Which day")]
    format: Annotated[Literal["door", "shop"], Words(zh="送到哪里", en="Where to")]
    notes: Annotated[
        tuple[Annotated[str, Field(pattern="^[a-z ]+$", max_length=40)], ...], Words(zh="备注", en="Notes")
    ] = ()


def test_a_model_is_told_of_kinds_bounds_and_choices_and_the_rest_is_checked_afterwards() -> None:
    function = Function(
        name="move_delivery", description=Words(zh="改期", en="Moves it"), arguments=Delivery, run=slow, changes=False
    )
    [*_, spec] = registry(function).specs("en", EVERYBODY, wish=1.0, has_ticket=True)
    day, place, notes = (spec.parameters["properties"][name] for name in ("day", "format", "notes"))
    assert day == {"type": "string", "description": "Which day"}
    assert place == {"enum": ["door", "shop"], "type": "string", "description": "Where to"}
    assert notes["items"] == {"maxLength": 40, "type": "string"}
    good = {"day": "2026-07-03", "format": "door", "notes": ["ring twice"]}
    call = registry(function).parse(FunctionCall(name="move_delivery", arguments=good), EVERYBODY)
    assert call.arguments == Delivery(day=date(2026, 7, 3), format="door", notes=("ring twice",))
    for bad in ({"day": "tomorrow"}, {"notes": ["RING"]}, {"notes": "ring"}):
        with pytest.raises(BadOutput):
            registry(function).parse(FunctionCall(name="move_delivery", arguments=good | bad), EVERYBODY)


@pytest.mark.parametrize(
    ("collections", "told"),
    [
        pytest.param(("default",), False, id="customers"),
        pytest.param(("internal",), True, id="employees"),
        pytest.param(("default", "internal"), True, id="a channel with both"),
        pytest.param((), False, id="a channel with none"),
    ],
)
def test_a_function_for_some_is_named_to_their_models_only(collections: Sequence[str], told: bool) -> None:
    functions = registry(*Shop().functions())
    names = [spec.name for spec in functions.specs("zh", collections, wish=1.0, has_ticket=True)]
    assert ("staff_prices" in names) is told
    assert "order_status" in names


# -- What it may call --


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("create_support_ticket", {}, id="nothing given"),
        pytest.param("create_support_ticket", {"issue": ""}, id="an empty issue"),
        pytest.param("create_support_ticket", {"issue": 7}, id="a number for words"),
        pytest.param("create_support_ticket", {"issue": "x", "requester": "web:eve"}, id="another's identity"),
        pytest.param("create_support_ticket", {"issue": "x", "urgency": "extreme"}, id="an unknown urgency"),
        pytest.param("create_support_ticket", {"issue": "x" * 5000}, id="too long"),
        pytest.param("create_support_ticket", {"issue": "\ud800"}, id="half a character"),
        pytest.param("create_support_ticket", {"issue": object()}, id="no JSON"),
        pytest.param("ticket_status", {"ticket": ["TICKET-1"]}, id="a list for a number"),
        pytest.param("hand_to_person", {"reason": None}, id="null for words"),
        pytest.param("delete_everything", {}, id="no such function"),
        pytest.param("staff_prices", {}, id="a function for others"),
        pytest.param("__init__", {}, id="an inner name"),
    ],
)
def test_a_bad_call_is_refused_without_quoting_it(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(BadOutput) as caught:
        registry(*Shop().functions()).parse(FunctionCall(name=name, arguments=arguments), EVERYBODY)
    assert caught.value.__cause__ is None
    assert "web:eve" not in str(caught.value)


def test_a_function_for_others_is_refused_like_one_that_does_not_exist() -> None:
    refusals = []
    for name in ("staff_prices", "no_such_thing"):
        with pytest.raises(BadOutput) as caught:
            registry(*Shop().functions()).parse(FunctionCall(name=name, arguments={}), EVERYBODY)
        refusals.append(str(caught.value))
    assert refusals[0] == refusals[1]


async def test_a_call_that_was_parsed_for_others_is_refused_once_more() -> None:
    functions, customer = registry(*Shop().functions()), ann("default")
    call = functions.parse(FunctionCall(name="staff_prices", arguments={}), ("internal",))
    with pytest.raises(BadOutput):
        await functions.look_up(call, customer.turn(customer.message("x")), "zh")


def test_good_arguments_become_values() -> None:
    arguments = {"issue": "杯子碎了", "urgency": "high"}
    parsed = registry().parse(FunctionCall(name="create_support_ticket", arguments=arguments), EVERYBODY)
    assert parsed.arguments == CreateSupportTicket(issue="杯子碎了", urgency="high")
    assert registry().parse(FunctionCall(name="hand_to_person", arguments={}), EVERYBODY).arguments == HandToPerson()


# -- What a call gives --


async def test_a_function_acts_for_the_sender_and_is_told_who_that_is() -> None:
    seen: list[Caller] = []

    async def run(arguments: Nothing, caller: Caller) -> Result:
        seen.append(caller)
        return Result(text="好")

    await told(look_up_of(run))
    [caller] = seen
    assert (caller.sender.id, caller.conversation.channel, caller.language) == ("web:ann", "web:ann", "zh")
    assert caller.turn_id == "turn-1" and caller.key.startswith("turn-1")


async def test_words_come_back_clean_and_not_endless() -> None:
    async def run(arguments: Nothing, caller: Caller) -> Result:
        return Result(text="好\u202e的\u200b。\r\n" + "一二三四。" * 1000)

    text = (await told(look_up_of(run))).text
    assert text.startswith("好的。\n一二三四。") and len(text) <= MAX_RESULT_CHARS


async def slow(arguments: Nothing, caller: Caller) -> Result:
    await asyncio.sleep(30)
    return Result(text="too late")


async def broken(arguments: Nothing, caller: Caller) -> Result:
    raise ConnectionError(f"https://orders.example/?who={caller.sender.id}")


async def wordless(arguments: Nothing, caller: Caller) -> Result:
    return Result(text=" \u200b ")


async def careless(arguments: Nothing, caller: Caller) -> Any:
    return "words, but no result"


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        pytest.param(slow, "TimeoutError", id="too slow"),
        pytest.param(broken, "ConnectionError", id="broken"),
        pytest.param(wordless, "ValueError", id="without words"),
        pytest.param(careless, "AttributeError", id="no result at all"),
    ],
)
async def test_a_failure_is_logged_by_its_name_and_kind_alone(run: Any, kind: str) -> None:
    with structlog.testing.capture_logs() as lines, pytest.raises(FunctionFailed) as failed:
        await told(look_up_of(run, seconds=0.05))
    assert lines == [{"event": "function failed", "log_level": "warning", "function": "look_up", "kind": kind}]
    assert failed.value.__cause__ is None and "web:ann" not in str(failed.value)


async def test_our_own_database_failing_is_no_failure_of_the_function() -> None:
    async def run(arguments: Nothing, caller: Caller) -> Result:
        raise StoreUnavailable("locked")

    with pytest.raises(StoreUnavailable):
        await told(look_up_of(run))


async def test_one_call_is_made_once_however_often_it_is_carried_out() -> None:
    shop, customer = Shop(), ann()
    functions, turn = registry(*shop.functions()), customer.turn(customer.message("好的"))
    call = functions.parse(FunctionCall(name="cancel_order", arguments={"order_no": "1001"}), EVERYBODY)
    pending = functions.pending(call, turn, "zh")
    assert await functions.recall(pending) is None
    shop.mishap = 0.05
    both = await asyncio.gather(*(functions.carry_out(pending, turn, "zh") for _ in range(2)), return_exceptions=True)
    assert isinstance(both[0], Result) and isinstance(both[1], Unconfirmed)
    assert await functions.carry_out(pending, turn, "zh") == both[0] == await functions.recall(pending)
    assert len(shop.cancelled) == 1


# -- What has to be declared --


class Wordless(Arguments):
    order_no: Annotated[str, Field(max_length=10)]


GOOD: dict[str, Any] = {
    "name": "cancel_order",
    "description": Words(zh="取消", en="cancel"),
    "arguments": Order,
    "run": slow,
    "changes": True,
    "action": lambda order: Words(zh="取消", en="cancel"),
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"name": "Cancel order"}, "needs a name", id="name"),
        pytest.param({"arguments": Wordless}, "the argument order_no", id="an argument without words"),
        pytest.param({"seconds": 0}, "time limit", id="no time"),
        pytest.param({"seconds": 600}, "time limit", id="more time than a turn has"),
        pytest.param({"action": None}, "needs `action`", id="nothing to confirm"),
        pytest.param({"changes": False}, "changes nothing", id="something to confirm, but no change"),
    ],
)
def test_what_is_declared_badly_is_named_in_one_line(change: dict[str, Any], said: str) -> None:
    Function(**GOOD)
    with pytest.raises(OperatorError, match=said) as refused:
        Function(**GOOD | change)
    assert "\n" not in str(refused.value)


# -- How functions are found --

MODULE = """
from bot.dialogue.functions.base import Arguments, Function, Result, Words

class Nothing(Arguments):
    pass

async def run(arguments, caller):
    return Result(text="营业中")

FUNCTIONS = (
    Function(
        name="NAME", description=Words(zh="营业时间", en="Opening hours"), arguments=Nothing, run=run, changes=False
    ),
)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_house_without_functions_of_its_own_has_none_but_the_tickets() -> None:
    assert find_functions(()) == ()


async def test_a_module_that_the_operator_names_is_found_and_works(installed: Path) -> None:
    (installed / "kefu_test_hours").mkdir()
    (installed / "kefu_test_hours" / "__init__.py").touch()
    (installed / "kefu_test_hours" / "shop.py").write_text(MODULE.replace("NAME", "opening_hours"))
    [function] = await asyncio.to_thread(find_functions, ("kefu_test_hours.shop",))
    assert (await told(function)).text == "营业中"


async def test_a_file_put_beside_the_shipped_functions_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kefu_test_beside.py").write_text(MODULE.replace("NAME", "opening_hours"))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    [function] = await asyncio.to_thread(find_functions, ())
    assert function.name == "opening_hours"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(None, "can not be imported: No module named 'kefu_test_module'", id="not installed"),
        pytest.param("import kefu_test_other", "No module named 'kefu_test_other'", id="what it imports is missing"),
        pytest.param("def", "can not be imported: invalid syntax (kefu_test_module.py, line 1)", id="not Python"),
        pytest.param(
            "\npassword = {}['hunter2']", "can not be imported: KeyError in kefu_test_module.py:2", id="failing"
        ),
        pytest.param("x = 1", "has no FUNCTIONS", id="nothing declared"),
        pytest.param("FUNCTIONS = ()", "has no FUNCTIONS", id="an empty declaration"),
        pytest.param("FUNCTIONS = ('look_up',)", "has no FUNCTIONS", id="names instead of functions"),
        pytest.param(MODULE.replace("NAME", "Opening"), "the function 'Opening' needs a name", id="badly declared"),
        pytest.param(MODULE.replace("NAME", "ticket_status"), "two functions with the name ticket_status", id="taken"),
    ],
)
def test_a_module_that_can_not_be_used_is_one_line_that_names_the_key(
    installed: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, said: str
) -> None:
    if source is not None:
        (installed / "kefu_test_module.py").write_text(source)
    monkeypatch.delitem(sys.modules, "kefu_test_module", raising=False)
    with pytest.raises(SettingsError) as refused:
        find_functions(("kefu_test_module",))
    line = str(refused.value)
    assert line.startswith("functions.modules: ") and said in line
    assert "\n" not in line and "hunter2" not in line


def test_two_modules_with_one_name_for_two_functions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kefu_test_a", "kefu_test_b"):
        module = types.ModuleType(name)
        module.FUNCTIONS = Shop().functions()[:1]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(SettingsError, match="two functions with the name cancel_order"):
        find_functions(("kefu_test_a", "kefu_test_b"))
