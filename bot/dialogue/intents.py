"""What a customer can want, and the examples it is learnt from: `intents.toml` and the vectors of its lines.

Embedding some 360 lines takes seconds, so vectors are kept in a file beside the examples, made by
`python -m bot.dialogue.build_intents`. The file names what it was made from; when an operator edits the examples or
chooses another embedder, the lines are embedded at start and kept in the data folder.
"""

from __future__ import annotations

import enum
import hashlib
import re
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.errors import SettingsError

SHIPPED = Path(__file__).with_name("intents.toml")


class Intent(enum.StrEnum):
    """What a message is for, as the tables of `intents.toml` name it."""

    GREETING = "greeting"
    THANKS = "thanks"
    HELP = "help"
    RESET = "reset"
    WANTS_PERSON = "wants_person"
    COMPLAINT = "complaint"
    WANTS_TICKET = "wants_ticket"
    TICKET_STATUS = "ticket_status"
    QUESTION = "question"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The labelled lines, in the file's order."""

    texts: tuple[str, ...]
    intents: tuple[Intent, ...]

    def fingerprint(self, embedder: str) -> str:
        """Names the vectors of exactly these lines by this embedder."""
        return hashlib.sha256("\0".join((embedder, *self.texts)).encode()).hexdigest()


def read_examples(path: Path) -> Examples:
    """The examples of a file: one table an intent, one list of lines a language.

    :raises SettingsError: the file can not be read, or is not of that form; names what is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    texts: list[str] = []
    intents: list[Intent] = []
    for name, languages in tables.items():
        if name not in list(Intent):
            raise SettingsError(f"{path}: [{name}] is not an intent; known are {', '.join(Intent)}")
        lines = _lines(languages)
        if lines is None:
            raise SettingsError(f'{path}: [{name}] must hold lists of lines, such as zh = ["…"]')
        texts.extend(lines)
        intents.extend([Intent(name)] * len(lines))
    if missing := [intent for intent in Intent if intents.count(intent) < 2]:
        raise SettingsError(f"{path}: [{missing[0]}] needs at least two lines")
    return Examples(texts=tuple(texts), intents=tuple(intents))


def _lines(languages: object) -> list[str] | None:
    if not isinstance(languages, dict):
        return None
    lines: list[str] = []
    for language in languages.values():
        if not isinstance(language, list) or not all(isinstance(line, str) and line.strip() for line in language):
            return None
        lines.extend(language)
    return lines


def vectors_path(folder: Path, stem: str, embedder: str) -> Path:
    """Where the vectors of `stem`.toml by this embedder lie in a folder."""
    return folder / f"{stem}.{re.sub(r'[^A-Za-z0-9.-]+', '_', embedder)}.npz"


def read_vectors(path: Path, fingerprint: str) -> npt.NDArray[np.float32] | None:
    """float32 of shape (lines, dimension) if the file has them for this fingerprint; None for any other file."""
    try:
        # Opened here: of a spoilt file numpy would leave the handle open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["fingerprint"]) != fingerprint:
                return None
            return np.asarray(stored["vectors"], dtype=np.float32)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError):
        # A missing, foreign or half-written file: the vectors can always be made again.
        return None


def write_vectors(path: Path, fingerprint: str, vectors: npt.NDArray[np.float32]) -> None:
    """Half precision is kept: it moves a cosine by less than .001 and halves what ships. Replaces the file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        np.savez_compressed(part, fingerprint=np.array(fingerprint), vectors=vectors.astype(np.float16))
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)
