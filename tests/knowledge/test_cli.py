"""`kefu knowledge …` as an operator types it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.cli import main
from tests.knowledge.hashing import HashingEmbedder

Write = Callable[..., Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    status: int
    out: str
    err: str


Kefu = Callable[..., Outcome]


@pytest.fixture
def kefu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Kefu]:
    """Runs `kefu knowledge …` on a folder of the test's own, with an embedder that takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEFU_KNOWLEDGE__URI", str(tmp_path / "index"))
    monkeypatch.setattr("knowledge.service.create_embedder", lambda name, **_: HashingEmbedder())

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main(["knowledge", *arguments])
        printed = capsys.readouterr()
        return Outcome(status=int(left.value.code or 0), out=printed.out, err=printed.err)

    yield run


@pytest.fixture
def faq(write: Write) -> Path:
    return write(
        "faq.csv", "id,question,answer,url\n1,怎么退货？,七天内申请。,https://x.example/1\n2,怎么开发票？,点开订单。,\n"
    )


def test_sync_search_and_list(kefu: Kefu, faq: Path) -> None:
    synced = kefu("sync", str(faq))
    assert (synced.status, synced.err) == (0, "")
    assert synced.out == "default: 2 added, 0 changed, 0 removed, 0 unchanged (2 embedded); version 1\n"
    assert kefu("list").out == "default: 2 documents, 2 passages\n"
    found = kefu("search", "怎么退货", "--top-k", "1")
    assert "怎么退货？  [faq.csv#1]\n    七天内申请。\n    https://x.example/1\n" in found.out


def test_json_is_one_object_on_one_line(kefu: Kefu, faq: Path) -> None:
    report = json.loads(kefu("sync", str(faq), "--collection", "shop", "--json").out)
    assert report == {
        "collection": "shop",
        "added": 2,
        "changed": 0,
        "removed": 0,
        "unchanged": 0,
        "embedded": 2,
        "version": 1,
        "problems": [],
    }
    listed = json.loads(kefu("list", "--json").out)
    assert listed["collections"] == [{"name": "shop", "documents": 2, "passages": 2}]
    (hit,) = json.loads(kefu("search", "发票", "--top-k", "1", "--collection", "shop", "--json").out)["hits"]
    assert (hit["id"], hit["document"], hit["collection"]) == ("faq.csv#2", "faq.csv#2", "shop")
    assert hit["answer"] == "点开订单。"


def test_a_batch_is_answered_line_by_line_and_bad_lines_are_named(kefu: Kefu, faq: Path, write: Write) -> None:
    kefu("sync", str(faq))
    lines = [json.dumps({"id": n, "text": text}, ensure_ascii=False) for n, text in enumerate(["退货", "发票"] * 10)]
    batch = write("batch.jsonl", "\n".join([*lines, "oops", '{"id": 1}', ""]))
    outcome = kefu("search", "--batch", str(batch), "--top-k", "2", "--json")
    assert outcome.status == 1
    assert outcome.err == f'{batch}:21: is not JSON\n{batch}:22: is not {{"id", "text"}}\n'
    answers = [json.loads(line) for line in outcome.out.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(20))
    assert [answer["hits"][0]["document"] for answer in answers] == ["faq.csv#1", "faq.csv#2"] * 10
    assert {"id", "document", "title", "text", "score"} <= answers[0]["hits"][0].keys()


def test_a_batch_may_come_through_a_pipe(kefu: Kefu, faq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kefu("sync", str(faq))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO('{"id": "a", "text": "退货"}\n'.encode())))
    outcome = kefu("search", "--batch", "-")
    assert (outcome.status, json.loads(outcome.out)["id"]) == (0, "a")


def test_bad_rows_are_named_and_the_exit_status_says_so(kefu: Kefu, write: Write) -> None:
    outcome = kefu("sync", str(write("faq.csv", "question,answer\nq,a\nq2,\n")))
    assert outcome.status == 1
    assert outcome.err == "faq.csv:3: the answer is empty\n"
    assert outcome.out.startswith("default: 1 added")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(
            ["search", "x"], 1, "nothing is indexed yet; run `kefu knowledge sync PATH`", id="nothing indexed"
        ),
        pytest.param(["sync", "nowhere"], 1, "nowhere: No such file or directory", id="no source"),
        pytest.param(["sync", "http://127.0.0.1:9/?k=geheim"], 1, "is a private address", id="a private address"),
        pytest.param(["sync", "https://u:geheim@x.example/"], 1, "no address of the web", id="a password"),
        pytest.param(["sync", "postgresql://u:geheim@h/db"], 1, "needs ?query=SELECT", id="address"),
        pytest.param(["sync"], 2, "PATH", id="no path"),
        pytest.param(["search"], 2, "either TEXT or --batch", id="no text"),
        pytest.param(["search", "x", "--top-k", "0"], 2, "--top-k", id="no hits wanted"),
        pytest.param(["search", "--batch", "nowhere.jsonl"], 1, "nowhere.jsonl: No such file", id="no batch"),
    ],
)
def test_a_mistake_is_one_line(kefu: Kefu, arguments: list[str], status: int, says: str) -> None:
    outcome = kefu(*arguments)
    assert outcome.status == status
    assert says in outcome.err
    assert "Traceback" not in outcome.err
    assert "geheim" not in outcome.err
    assert outcome.out == ""


def test_a_collection_that_is_not_there_is_named(kefu: Kefu, faq: Path) -> None:
    kefu("sync", str(faq))
    outcome = kefu("search", "x", "--collection", "hr", "--collection", "default")
    assert (outcome.status, outcome.err) == (1, "kefu: there is no collection 'hr'\n")


def test_another_embedder_is_one_line_that_names_rebuild(
    kefu: Kefu, faq: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kefu("sync", str(faq))
    monkeypatch.setattr("knowledge.service.create_embedder", lambda name, **_: HashingEmbedder("other", 16))
    refused = kefu("sync", str(faq))
    assert refused.status == 1
    assert "--rebuild" in refused.err
    assert kefu("sync", str(faq), "--rebuild").status == 0
    assert kefu("search", "退货").status == 0


def test_a_terminal_sees_a_bar(kefu: Kefu, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    rows = "".join(f"question {n},answer\n" for n in range(40))
    assert kefu("sync", str(write("faq.csv", "question,answer\n" + rows))).status == 0
    assert kefu("list").out == "default: 40 documents, 40 passages\n"


def test_an_embedder_that_is_not_there_has_to_be_changed_in_the_settings(
    tmp_path: Path, faq: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEFU_KNOWLEDGE__URI", str(tmp_path / "index"))
    monkeypatch.setenv("KEFU_KNOWLEDGE__EMBEDDER", "./no-such-model")
    with pytest.raises(SystemExit) as left:
        main(["knowledge", "sync", str(faq)])
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert printed.startswith("kefu: ") and "no-such-model" in printed and printed.count("\n") == 1


_SOURCES = """
[[knowledge.sources]]
name = "faq"
path = "faq.csv"
[[knowledge.sources]]
name = "notes"
path = "notes"
[[knowledge.sources]]
name = "shop"
collection = "shop"
path = "shop.jsonl"
"""


def test_without_a_path_every_source_of_the_configuration_is_synced(kefu: Kefu, faq: Path, write: Write) -> None:
    write("kefu.toml", _SOURCES)
    write("notes/a.md", "# A\n\ntext")
    write("shop.jsonl", [{"id": "1", "question": "q", "answer": "a"}])
    synced = kefu("sync")
    assert (synced.status, synced.err) == (0, "")
    assert [line.partition(" added")[0] for line in synced.out.splitlines()] == ["default: 3", "shop: 1"]
    one = kefu("sync", "--collection", "shop", "--json")
    assert (one.status, json.loads(one.out)["unchanged"]) == (0, 1)
    assert kefu("sync", "--collection", "other").err.endswith("is of the collection 'other'\n")


def test_a_source_that_is_gone_leaves_the_other_collections_to_be_synced(kefu: Kefu, faq: Path, write: Write) -> None:
    write("kefu.toml", _SOURCES)
    write("shop.jsonl", [{"id": "1", "question": "q", "answer": "a"}])
    synced = kefu("sync", "--rebuild")
    assert synced.status == 1
    assert synced.err == "kefu: notes: No such file or directory\n"
    assert synced.out.startswith("shop: 1 added")


def test_without_a_path_and_without_sources_it_says_what_to_give(kefu: Kefu) -> None:
    said = kefu("sync")
    assert said.status == 2
    assert "write [[knowledge.sources]] into kefu.toml" in said.err


def test_versions_diff_and_rollback(kefu: Kefu, write: Write) -> None:
    assert kefu("versions").out == "there is no version yet; `kefu knowledge sync PATH` makes the first one\n"
    head = "id,question,answer\n"
    kefu("sync", str(write("faq.csv", f"{head}1,怎么退货？,七天内申请。\n2,怎么开发票？,点开订单。\n")))
    kefu(
        "sync",
        str(write("faq.csv", f"{head}1,怎么退货？,十天内申请。\n3,几点营业？,九点。\n")),
        "--collection",
        "default",
    )
    assert kefu("diff", "1", "2").out == "+ default: faq.csv#3\n~ default: faq.csv#1\n- default: faq.csv#2\n"
    assert json.loads(kefu("diff", "2", "1", "--json").out)["added"] == [
        {"collection": "default", "document": "faq.csv#2"}
    ]
    back = kefu("rollback", "1")
    assert (back.status, back.out) == (0, "back to version 1: 1 added, 1 changed, 1 removed; this is version 3\n")
    assert "七天内申请" in kefu("search", "怎么退货").out
    assert kefu("diff", "1", "3").out == "versions 1 and 3 are the same\n"
    assert kefu("rollback", "1").out == "version 3 is the same as version 1; nothing was changed\n"
    lines = kefu("versions").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["3", "2", "1"]
    assert lines[0].endswith("UTC  rollback to 1: 1 added, 1 changed, 1 removed")
    assert lines[2].endswith("UTC  sync default: 2 added, 0 changed, 0 removed")
    listed = json.loads(kefu("versions", "--json").out)["versions"]
    assert (listed[0]["number"], listed[0]["kind"], listed[0]["basis"]) == (3, "rollback", 1)
    assert "key" not in listed[0]


def test_rebuild_makes_a_lost_index_anew(kefu: Kefu, faq: Path, tmp_path: Path) -> None:
    kefu("sync", str(faq))
    faq.unlink()
    shutil.rmtree(tmp_path / "index")
    rebuilt = kefu("rebuild")
    assert (rebuilt.status, rebuilt.out) == (0, "2 documents (2 embedded); version 1\n")
    assert "七天内申请" in kefu("search", "怎么退货").out
    assert kefu("list").out == "default: 2 documents, 2 passages\n"


def test_forget_takes_a_document_out_of_the_past_too(kefu: Kefu, faq: Path) -> None:
    kefu("sync", str(faq))
    forgotten = kefu("forget", "faq.csv#2")
    assert forgotten.status == 0
    assert forgotten.out == "faq.csv#2 is forgotten in every version; remove it from its source too (version 2)\n"
    assert kefu("rollback", "1").out.startswith("version 2 is the same as version 1")
    assert "点开订单" not in kefu("search", "怎么开发票").out
    again = kefu("forget", "faq.csv#2")
    assert (again.status, again.err) == (1, "kefu: no kept version has a document 'faq.csv#2'\n")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(["rollback", "4"], 1, "there is no version 4; kept are 1 to 1", id="no such version"),
        pytest.param(["diff", "1", "9"], 1, "there is no version 9; kept are 1 to 1", id="no such version to compare"),
        pytest.param(["rollback", "first"], 2, "VERSION", id="no number"),
        pytest.param(["rollback", "0"], 2, "VERSION", id="nought"),
        pytest.param(["forget"], 2, "DOCUMENT", id="no document"),
        pytest.param(["forget", "faq.csv#1", "--collection", "hr"], 1, "in collection 'hr'", id="not there"),
    ],
)
def test_a_mistake_with_versions_is_one_line(
    kefu: Kefu, faq: Path, arguments: list[str], status: int, says: str
) -> None:
    kefu("sync", str(faq))
    outcome = kefu(*arguments)
    assert outcome.status == status
    assert says in outcome.err
    assert outcome.out == ""
    assert "七天内申请" in kefu("search", "怎么退货").out
