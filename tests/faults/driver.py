"""The product with a scripted dialogue, started in milliseconds: `kefu run` without knowledge and engine.

One process imports everything and forks a bot for every life (`python -m tests.faults.driver`), so that hundreds of
kills take minutes. It speaks lines of JSON: `{"do": "start", "folder": …, "environment": {…}}` → `{"pid": 123}`; the
child waits for `{"do": "go"}`; `{"do": "wait", "seconds": 2}` → `{"status": -9}` or `{"status": null}` while it runs.
No thread runs here and LanceDB is not loaded, so forking is safe.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.faults import scripted_answering

sys.modules["bot.answering"] = scripted_answering  # before `bot.app` is imported, which would load the knowledge

from bot import app, cli  # noqa: E402 - see the line above

setattr(app, "Endings", scripted_answering.Endings)  # noqa: B010 - the tokens have to be in every ending
_FIRST_USE = (
    "bot.cli.run", "adapters.slack.build", "adapters.telegram.build", "adapters.web.build", "adapters.wecom.app.build",
    "adapters.wecom.bot.build", "adapters.wecom.kf.build",
)  # fmt: skip


def _live(folder: Path, environment: dict[str, str], go: int) -> None:
    """The child: waits for the word, then is `kefu run`."""
    log = os.open(folder / "bot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.read(go, 1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.environ.update(environment)
    sys.argv = ["kefu", "run", "--config", str(folder / "kefu.toml"), "--debug"]
    status = 1
    try:
        cli.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - the last words of a life; there is nobody to raise it to
        traceback.print_exc()
    finally:
        os._exit(status)  # without the parent's exit handlers


class _Parent:
    """Forks lives, one at a time, and says how they ended."""

    def __init__(self) -> None:
        self._pid = 0
        self._go = -1

    def start(self, folder: str, environment: dict[str, str]) -> dict[str, Any]:
        ends = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ends[1])
            with contextlib.suppress(KeyboardInterrupt):
                _live(Path(folder), environment, ends[0])
            os._exit(1)
        os.close(ends[0])
        self._pid, self._go = pid, ends[1]
        return {"pid": pid}

    def go(self) -> dict[str, Any]:
        os.write(self._go, b"!")
        os.close(self._go)
        return {}

    def wait(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return {"status": os.waitstatus_to_exitcode(status)}
            if time.monotonic() > deadline:
                return {"status": None}
            select.select([], [], [], 0.003)  # time.sleep fails under a faked clock


def main() -> None:
    """Serves the harness until its standard input ends."""
    for module in _FIRST_USE:
        importlib.import_module(module)  # once here instead of once a life
    parent = _Parent()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        done = getattr(parent, asked.pop("do"))(**asked)
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
