"""What the knowledge needs to know from outside; the bot's settings are read elsewhere and handed in."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeConfig:
    uri: str = "data/knowledge"
    """Any LanceDB address: a folder, `s3://…`, `gs://…`, `az://…`."""

    embedder: str = "multilingual-e5-small"
    """A name that `knowledge.embedders.create_embedder` knows."""

    device: str = ""
    """Where models of sentence-transformers compute: "cpu", "cuda:1", …; "" is the graphics card if there is one."""

    embedder_url: str = field(default="", repr=False)
    """For "openai:<model>": the server's address up to "/v1"."""

    embedder_key: str = field(default="", repr=False)

    reranker: str = ""
    """A cross-encoder of sentence-transformers, by name or path; "" for none."""

    synonyms: Path | None = None
    """A file of words that customers use for those of the knowledge (`knowledge.synonyms`)."""

    top_k: int = 5
    """How many passages a search returns unless its caller says otherwise."""

    keep_versions: int = 10
    """How many versions can be rolled back to, the newest included; what older ones alone had is deleted."""
