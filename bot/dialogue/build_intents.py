"""Makes the vectors that lie beside `intents.toml`, so that a start need not embed its lines.

    python -m bot.dialogue.build_intents --knowledge MODULE:FUNCTION --embedder NAME [INTENTS.toml]

FUNCTION(embedder) is an asynchronous context manager that yields a `bot.ports.Knowledge`. To be run after every change
of the examples; a test says when that was forgotten.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.dialogue.intents import SHIPPED, read_examples, vectors_path, write_vectors
from bot.ports import Knowledge


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bot.dialogue.build_intents", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--knowledge", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--embedder", required=True)
    parser.add_argument("examples", type=Path, nargs="?", default=SHIPPED)
    options = parser.parse_args(arguments)
    module, _, function = options.knowledge.partition(":")
    opener: Callable[[str], AbstractAsyncContextManager[Knowledge]] = getattr(importlib.import_module(module), function)
    examples = read_examples(options.examples)
    vectors = asyncio.run(_embedded(opener, options.embedder, examples.texts))
    place = vectors_path(options.examples.parent, options.examples.stem, options.embedder)
    write_vectors(place, examples.fingerprint(options.embedder), vectors)
    sys.stdout.write(f"{place}: {len(vectors)} lines, {place.stat().st_size} bytes\n")
    return 0


async def _embedded(
    opener: Callable[[str], AbstractAsyncContextManager[Knowledge]], embedder: str, texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    async with opener(embedder) as knowledge:
        return await knowledge.embed_many(texts)


if __name__ == "__main__":
    raise SystemExit(main())
