"""LanceDB without the REST client that it brings along."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
import knowledge.lance
assert "lancedb" in sys.modules
assert not [name for name in sys.modules if name.startswith("lance_namespace_urllib3_client.api.")]
assert not [finder for finder in sys.meta_path if type(finder).__module__ == "knowledge.lance"]
from lance_namespace_urllib3_client.api.table_api import TableApi
assert TableApi.__init__ is not object.__init__
import lancedb
assert lancedb.connect_async is knowledge.lance.connect_async
"""


def test_the_client_is_left_out_and_can_still_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
