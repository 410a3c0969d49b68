"""What can go wrong with the knowledge. Every message is one line that an operator can act on.

KnowledgeError
├── EmbedderError        the embedder is unknown, not installed, fails, or its weights are not the pinned ones
│   └── EmbedderAwayError    its server can not be reached, or has too much to do: later it may work as it is
├── IndexMismatchError   the index was made with another embedder, or by a newer kefu
│   └── IndexOutdatedError   … or by an older one: `kefu run` and every sync make it anew from the ledger
├── IndexMissingError    nothing has been indexed at this address yet
├── IndexUnreadableError the index is there but cannot be read
├── IndexUnwritableError the index cannot be written, say for want of space
├── LedgerError          the ledger cannot be used, or does not have what was asked for
├── RerankerError        the reranker is not installed, cannot be loaded, or is none
├── SourceError          a named source is not there or cannot be a source
├── SyncBusyError        another sync holds the index
└── SynonymsError        the file of synonyms cannot be read, or has mistakes
"""


class KnowledgeError(Exception):
    """The root; `str()` is for the operator."""


class EmbedderError(KnowledgeError):
    pass


class EmbedderAwayError(EmbedderError):
    pass


class IndexMismatchError(KnowledgeError):
    pass


class IndexOutdatedError(IndexMismatchError):
    def __init__(self, message: str, embedder: object = None) -> None:
        """:param embedder: whose vectors are in it (`schema.IndexIdentity`), None where it does not say."""
        super().__init__(message, embedder)
        self.embedder = embedder

    def __str__(self) -> str:
        return str(self.args[0])

    def embedder_is(self, identity: object) -> bool:
        """Whether it can be made anew without another embedder taking over what one decided for."""
        return self.embedder is None or self.embedder == identity


class IndexMissingError(KnowledgeError):
    pass


class IndexUnreadableError(KnowledgeError):
    pass


class IndexUnwritableError(KnowledgeError):
    pass


class LedgerError(KnowledgeError):
    pass


class RerankerError(KnowledgeError):
    pass


class SourceError(KnowledgeError):
    pass


class SyncBusyError(KnowledgeError):
    pass


class SynonymsError(KnowledgeError):
    pass
