"""What `kefu insights` prints. Pure. Personal data is masked, whatever `privacy.redact` says: this gets passed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.terminal.batch import Result
from bot.history.unsolved import Unsolved
from bot.insights import Draft, Group, solved
from bot.messages import Outcome
from bot.privacy import mask
from bot.replaying import Replayed
from knowledge.values import Hit

_EXAMPLES = 3
_SHOWN_CHARACTERS = 100
_REASONS = {"refused": "refused", "down": "rated down", "person": "handed to a person"}
_WISHES = (Outcome.TICKET, Outcome.HANDOFF)
_Answers = Mapping[tuple[str, tuple[str, ...]], Result]


def shown(text: str) -> str:
    """On one line, masked, not too long, and without what could drive a terminal."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in mask(text)).split())
    return words if len(words) <= _SHOWN_CHARACTERS else words[: _SHOWN_CHARACTERS - 1] + "…"


# --- The groups ---------------------------------------------------------------------------------------


def overview(
    since: datetime,
    groups: Sequence[Group],
    nearest: Sequence[Sequence[Hit]],
    replayed: Replayed,
    limit: int,
    *,
    left_out: bool,
) -> Iterator[str]:
    """The groups for a reader, line by line."""
    day = since.astimezone().strftime("%Y-%m-%d %H:%M")
    if not groups:
        yield f"No question was left unsolved since {day}."
        return
    total = sum(len(one.asked) for one in groups)
    yield f"{_count(total, 'unsolved question')} in {_count(len(groups), 'group')} since {day}"
    if left_out:
        yield "There are more, which are older and not counted here; look at less time with --since."
    for one, hits in zip(groups[:limit], nearest, strict=True):
        yield ""
        yield from _group(one, hits, replayed)
    if len(groups) > limit:
        yield ""
        yield f"{_count(len(groups) - limit, 'more group')}; see them with --limit {len(groups)}."


def _group(group: Group, hits: Sequence[Hit], replayed: Replayed) -> Iterator[str]:
    people = "1 person" if group.people == 1 else f"{group.people} people"
    reasons = ", ".join(f"{count} {_REASONS[reason]}" for reason, count in group.reasons.items() if count)
    yield f"{group.id}  {_count(len(group.asked), 'question')} of {people}: {reasons}"
    for text in group.wordings[:_EXAMPLES]:
        yield f"  {shown(text)}"
    if len(group.wordings) > _EXAMPLES:
        yield f"  … and {len(group.wordings) - _EXAMPLES} more wordings"
    for hit in hits:  # without its score: the best of a search has a high one, however far away it is
        yield f"  nearest: {hit.document}  {shown(hit.title)}"
    if not hits:
        yield "  nearest: nothing is indexed there"
    done, asked = replayed.counts([one.turn for one in group.asked])
    if asked:
        verdict = "solved" if done == asked else f"{done} of {asked} solved" if done else "not solved yet"
        yield f"  asked again in version {replayed.version}: {verdict}"
    if group.tickets:
        yield f"  tickets: {', '.join(group.tickets)}"


def overview_json(
    since: datetime, groups: Sequence[Group], nearest: Sequence[Sequence[Hit]], replayed: Replayed, *, total: int
) -> dict[str, Any]:
    """The groups as the object of `--json`; `total` counts those that are not among them too."""
    return {
        "since": since.isoformat(),
        "total": total,
        "groups": [
            {
                "id": one.id,
                "questions": len(one.asked),
                "people": one.people,
                "reasons": one.reasons,
                "question": mask(one.question),
                "wordings": [mask(text) for text in one.wordings],
                "collections": list(one.collections),
                "tickets": list(one.tickets),
                "first_at": one.asked[0].at.isoformat(),
                "replayed": _replayed(replayed, one),
                "last_at": max(asked.at for asked in one.asked).isoformat(),
                "nearest": [
                    {"id": hit.id, "document": hit.document, "title": hit.title, "dense": round(hit.dense, 4)}
                    for hit in hits
                ],
            }
            for one, hits in zip(groups, nearest, strict=True)
        ],
    }


def _replayed(replayed: Replayed, group: Group) -> dict[str, int] | None:
    done, asked = replayed.counts([one.turn for one in group.asked])
    return {"version": replayed.version, "asked": asked, "solved": done} if asked else None


# --- A draft ------------------------------------------------------------------------------------------


def draft_page(draft: Draft, *, path: Path, ticket: str) -> Iterator[str]:
    """What was written where, and what is to be done with it."""
    yield f"{path}: a draft from the agent's answer in {ticket}"
    yield f"  {shown(draft.question)}"
    yield f"  {shown(draft.answer)}"
    for text in draft.others:
        yield f"  left out: {shown(text)}"
    if draft.masked:
        yield "Personal data is masked in it; put back what belongs there, such as a number of your own company."
    yield "Read it and correct it, move it among the sources of your knowledge, run kefu knowledge sync,"
    yield "and see with kefu insights --replay what it solved."


def draft_json(draft: Draft, *, path: Path, ticket: str, group: str) -> dict[str, Any]:
    """The same as the object of `--json`."""
    return {
        "file": str(path),
        "ticket": ticket,
        "group": group,
        "question": draft.question,
        "answer": draft.answer,
        "also_asked": list(draft.also_asked),
        "others": list(draft.others),
        "masked": draft.masked,
    }


# --- A replay -----------------------------------------------------------------------------------------


def replay_json(groups: Sequence[Group], answers: _Answers) -> dict[str, Any]:
    """What became of every question, asked again. `solved` is null, and does not count, where no proper reply came, and
    where the words alone are a wish for a person or a ticket: no knowledge answers that."""
    told: list[dict[str, Any]] = []
    for group in groups:
        questions = [_again(one, answers[one.question, one.collections]) for one in group.asked]
        told.append(
            {
                "id": group.id,
                "question": mask(group.question),
                "asked": sum(one["solved"] is not None for one in questions),
                "solved": sum(one["solved"] is True for one in questions),
                "questions": questions,
            }
        )
    return {"asked": sum(one["asked"] for one in told), "solved": sum(one["solved"] for one in told), "groups": told}


def _again(asked: Unsolved, result: Result) -> dict[str, Any]:
    answer = result.answer
    told: dict[str, Any] = {"question": mask(asked.question), "outcome": None, "solved": None, "sources": []}
    if answer is not None and not result.problem:
        told["outcome"] = answer["outcome"]
        told["sources"] = [source["id"] for source in answer["sources"]]
        if answer["outcome"] not in _WISHES:
            told["solved"] = solved(asked, Outcome(answer["outcome"]), answer["response"])
    return told


def replay_page(report: Mapping[str, Any]) -> Iterator[str]:
    """The same for a reader, line by line."""
    if not report["groups"]:
        yield "No question was left unsolved."
        return
    for group in report["groups"]:
        solved_of = f"{group['solved']} of {group['asked']} solved" if group["asked"] else "no question to solve"
        yield f"{group['id']}  {solved_of}"
        for one in group["questions"]:
            yield f"  {_mark(one)}  {shown(one['question'])}{_why(one)}"
    yield ""
    yield f"{report['solved']} of {_count(report['asked'], 'question')} solved"


def _mark(one: Mapping[str, Any]) -> str:
    if one["solved"] is None:
        return "no reply  " if one["outcome"] is None else "a wish    "
    return "solved    " if one["solved"] else "not solved"


def _why(one: Mapping[str, Any]) -> str:
    if one["solved"]:
        return f"  ({', '.join(one['sources'])})" if one["sources"] else ""
    if one["solved"] is None:
        return ""
    return "  (the same answer as before)" if one["outcome"] == Outcome.ANSWERED.value else f"  ({one['outcome']})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
