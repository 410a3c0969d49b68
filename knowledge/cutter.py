"""Documents to passages in the sizes of one embedder, and what tells that a document need not be cut again."""

import hashlib
import json
from collections.abc import Mapping

from knowledge.chunking import chunk_document
from knowledge.cutting import ChunkLimits
from knowledge.embedders.base import Embedder
from knowledge.ledger import DocumentKey, Passages, digest_of
from knowledge.process import giving_way
from knowledge.values import Document

# Raised when the same document is cut into other passages than before: the next sync cuts all of them again, and embeds
# of the new passages those that are not equal to old ones.
VERSION = 1


class Cutter:
    """Blocks, for a thirtieth of what embedding takes."""

    def __init__(self, embedder: Embedder) -> None:
        self._limits = ChunkLimits.within(embedder.window)
        self._measure = embedder.count_tokens
        self._way = (VERSION, embedder.name, self._limits.maximum)

    def cut(self, document: Document) -> Passages:
        """None for a document without words."""
        return chunk_document(document, self._limits, self._measure)

    def cut_changed(
        self, source: dict[DocumentKey, Document], before: Mapping[DocumentKey, str]
    ) -> tuple[dict[DocumentKey, str], dict[str, Passages]]:
        """The digests of all documents that have words, and the passages of those whose digest was another before.

        Takes each document out of `source`: 100,000 of them that end in one moment would hold up every thread for it.
        """
        digests: dict[DocumentKey, str] = {}
        contents: dict[str, Passages] = {}
        for key in giving_way(list(source)):
            document = source.pop(key)
            digest = self.digest(document)
            if before.get(key) != digest:
                passages = self.cut(document)
                if not passages:
                    continue
                contents[digest] = passages
            digests[key] = digest
        return digests, contents

    def digest(self, document: Document) -> str:
        """Equal for documents that are cut into equal passages. Where it stands in its file does not count."""
        if document.format == "row":
            # It is one passage, whoever measures.
            return digest_of(self.cut(document))
        fields = [document.id, document.title, document.text, document.format, document.question, document.answer]
        parts = [*self._way, *fields, document.url, *document.tags]
        encoded = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        return hashlib.sha256(encoded).hexdigest()
