"""What an engine leaves behind is ended, and nothing else, over real processes and real shared memory and sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from bot.engine import processes
from bot.engine.processes import Holding, Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in Linux's /proc")

SLEEPER = "import time; print('here', flush=True); time.sleep(300)"
# A child that has a child of its own, as an engine has its workers, in a session of its own.
FAMILY = f"""
import subprocess, sys, os, time
os.setsid()
subprocess.Popen([sys.executable, '-I', '-c', {SLEEPER!r}])
time.sleep(300)
"""
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def one(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        return process

    yield one
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    memory = SharedMemory(create=True, size=4096)
    # Whoever is killed can not clean up: the test's own process must not do it either.
    resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
    yield memory
    memory.close()
    Path("/dev/shm", memory.name).unlink(missing_ok=True)


def ours() -> frozenset[Process]:
    return processes.descendants(os.getpid())


def test_descendants_are_found_down_to_the_last(start: Start) -> None:
    before = ours()
    child = start(FAMILY)
    found = ours() - before
    assert len(found) == 2 and child.pid in {process.pid for process in found}
    processes.kill(found)
    child.wait(10)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_what_was_remembered_is_ended_at_the_next_start(start: Start, tmp_path: Path, stopped: bool) -> None:
    before = ours()
    child = start(FAMILY)
    bystander = start(SLEEPER)
    family = frozenset(process for process in ours() - before if process.pid != bystander.pid)
    if stopped:
        for process in family:
            os.kill(process.pid, signal.SIGSTOP)
    file = tmp_path / "data" / "engine-processes.json"
    processes.remember(file, Holding(processes=family))
    assert processes.end_remembered(file) == 2
    assert processes.alive(family) == frozenset()
    assert child.wait(10) == -signal.SIGKILL
    assert bystander.poll() is None
    assert not file.exists()
    assert processes.end_remembered(file) == 0


def test_a_number_that_is_used_anew_harms_nobody(start: Start, tmp_path: Path) -> None:
    child = start(SLEEPER)
    [process] = [process for process in ours() if process.pid == child.pid]
    reused = replace(process, started=process.started - 1)
    file = tmp_path / "engine-processes.json"
    processes.remember(file, Holding(processes=frozenset({reused})))
    assert processes.end_remembered(file) == 0
    processes.kill({reused})
    time.sleep(0.1)
    assert child.poll() is None


def test_one_that_has_ended_and_was_not_taken_leave_of_does_not_run(start: Start) -> None:
    before = ours()
    child = start(SLEEPER)
    started = ours() - before
    child.kill()
    deadline = time.monotonic() + 10
    while processes.alive(started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.alive(started) == frozenset()
    assert child.returncode is None, "nobody has waited for it yet"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param('{"processes": [[12', id="torn"),
        pytest.param("[[1, 2]]", id="of another form"),
        pytest.param('{"processes": [["a", null]], "files": []}', id="no numbers"),
        pytest.param('{"processes": 7, "files": []}', id="no list"),
    ],
)
def test_a_damaged_file_ends_nobody_and_goes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "engine-processes.json"
    file.write_text(text)
    assert processes.end_remembered(file) == 0
    assert not file.exists()


def test_a_crash_while_it_is_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "engine-processes.json"
    first = Holding(processes=frozenset({Process(pid=2**22 + 1, started=5)}))
    processes.remember(file, first)
    before = file.read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        processes.remember(file, Holding())
    assert file.read_bytes() == before


def attached(memory: SharedMemory) -> str:
    """A program that uses it."""
    return (
        "from multiprocessing.shared_memory import SharedMemory; import time; "
        f"memory = SharedMemory({memory.name!r}); print('here', flush=True); time.sleep(300)"
    )


def test_shared_memory_of_a_killed_process_is_given_back(start: Start, shared: SharedMemory, tmp_path: Path) -> None:
    file, path = tmp_path / "engine-processes.json", Path("/dev/shm", shared.name)
    record = processes.Record(file)
    child = start(attached(shared))
    record.note()
    assert path.exists() and str(path) in file.read_text()
    assert processes.end_remembered(file) >= 1
    assert not path.exists()
    assert child.wait(10) == -signal.SIGKILL


def test_what_is_started_while_it_runs_is_on_record_too(start: Start, shared: SharedMemory, tmp_path: Path) -> None:
    file = tmp_path / "engine-processes.json"
    earlier = start(SLEEPER)
    record = processes.Record(file)
    first = start(SLEEPER)
    record.note()
    second = start(attached(shared))
    record.end()
    assert (first.wait(10), second.wait(10)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert earlier.poll() is None
    assert not file.exists() and not Path("/dev/shm", shared.name).exists()


def bound(file: Path) -> str:
    """A program that waits at a socket."""
    return (
        "import socket, time; end = socket.socket(socket.AF_UNIX); "
        f"end.bind({str(file)!r}); print('here', flush=True); time.sleep(300)"
    )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's folder for temporary files; a socket's whole path has to have less than 108 characters."""
    with tempfile.TemporaryDirectory(prefix="kefu-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_sockets_of_a_killed_process_are_removed(start: Start, temporary: Path, tmp_path: Path) -> None:
    file, left, other = tmp_path / "engine-processes.json", temporary / str(uuid.uuid4()), temporary / "other"
    record = processes.Record(file)
    for path in (left, other):
        start(bound(path))
    record.note()
    late = temporary / str(uuid.uuid4())
    start(bound(late))
    assert left.is_socket() and str(left) in file.read_text()
    record.end()
    assert not left.exists() and not late.exists()
    assert other.is_socket(), "it has a name of its own, and may be anybody's"


def test_a_file_that_is_neither_shared_memory_nor_a_socket_is_never_removed(tmp_path: Path, temporary: Path) -> None:
    precious, alike = tmp_path / "kefu.db", temporary / str(uuid.uuid4())
    precious.touch()
    alike.touch()
    file = tmp_path / "engine-processes.json"
    stored = {
        "processes": [],
        "files": [str(precious), str(alike), f"/dev/shm/psm_/../../..{precious}", "/dev/shm/faketime_shm_1"],
    }
    file.write_text(json.dumps(stored))
    assert processes.end_remembered(file) == 0
    assert precious.exists() and alike.exists()
