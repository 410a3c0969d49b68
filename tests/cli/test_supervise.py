"""`kefu run --supervise` over small programs that crash, hang, or leave children behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor uses Linux's prctl and /proc")

SUPERVISE = """
import sys
from bot.cli import supervise
supervise.BACKOFF_SECONDS = (0.05,)
supervise.STOP_SECONDS = {stop}
sys.exit(supervise.Supervisor([sys.executable, "-I", "-c", {program!r}]).run())
"""


class Supervised:
    def __init__(self, folder: Path, program: str, *, stop: float = 20.0) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE.format(program=textwrap.dedent(program), stop=stop)],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def written(self, name: str, seconds: float = 20) -> str:
        """What a program wrote, once it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            path = self.folder / name
            if path.exists() and (text := path.read_text()):
                return text
            time.sleep(0.02)
        raise AssertionError(f"{name} was never written")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Supervised]]:
    running: list[Supervised] = []
    yield running
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(5)
        assert one.process.stderr is not None
        one.process.stderr.close()


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still alive"
        time.sleep(0.02)


@pytest.mark.parametrize("status", [0, 2], ids=["done", "operator's error"])
def test_an_end_that_no_restart_can_better_is_passed_on(started: list[Supervised], tmp_path: Path, status: int) -> None:
    started.append(Supervised(tmp_path, f"open('runs', 'a').write('x'); raise SystemExit({status})"))
    assert started[0].wait() == status
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize("end", ["raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)"], ids=["failed", "killed"])
def test_a_crash_is_followed_by_a_new_start(started: list[Supervised], tmp_path: Path, end: str) -> None:
    program = f"open('runs', 'a').write('x')\nif len(open('runs').read()) < 3:\n    {end}\n"
    started.append(Supervised(tmp_path, program))
    assert started[0].wait() == 0
    assert (tmp_path / "runs").read_text() == "xxx"
    assert started[0].process.stderr is not None
    assert started[0].process.stderr.read().count("starting again") == 2


GRACEFUL = """
    import os, signal, sys
    def stop(*_):
        open('stopped', 'w').write('x')
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    open('pid', 'w').write(str(os.getpid()))
    while True:
        signal.pause()
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "closed terminal"])
def test_a_request_to_stop_reaches_the_bot(started: list[Supervised], tmp_path: Path, signum: signal.Signals) -> None:
    started.append(Supervised(tmp_path, GRACEFUL))
    started[0].written("pid")
    started[0].process.send_signal(signum)
    assert started[0].wait() == 0
    assert (tmp_path / "stopped").exists()


def test_a_bot_that_does_not_stop_is_killed(started: list[Supervised], tmp_path: Path) -> None:
    program = """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open('pid', 'w').write(str(os.getpid()))
        while True:
            signal.pause()
    """
    started.append(Supervised(tmp_path, program, stop=0.3))
    pid = int(started[0].written("pid"))
    started[0].process.terminate()
    assert started[0].wait() == 128 + signal.SIGKILL
    assert not is_alive(pid)


# A worker in the bot's group, and one that left it twice over, as daemons do.
FAMILY = """
    import os, signal, subprocess, sys, time
    sleeper = 'import os, time; open({name!r}, "w").write(str(os.getpid())); time.sleep(300)'
    subprocess.Popen([sys.executable, '-I', '-c', sleeper.format(name='worker')])
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, '-I', '-c', sleeper.format(name='daemon')])
        os._exit(0)
    os.wait()
    open('pid', 'w').write(str(os.getpid()))
    time.sleep(300)
"""


def test_no_descendant_outlives_a_killed_bot(started: list[Supervised], tmp_path: Path) -> None:
    started.append(Supervised(tmp_path, FAMILY))
    pids = {name: int(started[0].written(name)) for name in ("pid", "worker", "daemon")}
    for name in pids:
        (tmp_path / name).unlink()
    os.kill(pids["pid"], signal.SIGKILL)
    again = {name: int(started[0].written(name)) for name in ("pid", "worker", "daemon")}
    assert not any(is_alive(pid) for pid in pids.values()), "the old family was still there when the new one started"
    started[0].process.terminate()
    assert started[0].wait() == 128 + signal.SIGTERM
    assert not any(is_alive(pid) for pid in again.values())


def test_a_killed_supervisor_takes_the_bot_with_it(started: list[Supervised], tmp_path: Path) -> None:
    started.append(Supervised(tmp_path, GRACEFUL))
    pid = int(started[0].written("pid"))
    started[0].process.kill()
    wait_until_gone(pid)
    assert (tmp_path / "stopped").exists(), "it was asked, not killed"


def test_a_stop_during_the_pause_ends_at_once(started: list[Supervised], tmp_path: Path) -> None:
    program = "open('runs', 'a').write('x'); raise SystemExit(1)"
    code = SUPERVISE.format(program=program, stop=5).replace("(0.05,)", "(60.0,)")
    one = Supervised.__new__(Supervised)
    one.folder = tmp_path
    one.process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    started.append(one)
    one.written("runs")
    assert one.process.stderr is not None
    one.process.stderr.readline()
    one.process.terminate()
    assert one.wait(10) == 0
