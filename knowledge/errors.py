"""What can go wrong with the knowledge. Every message is one line that an operator can act on.

KnowledgeError
├── EmbedderError        the embedder is unknown, not installed, fails, or its weights are not the pinned ones
│   └── EmbedderAwayError    its server can not be reached, or has too much to do: later it may work as it is
├── IndexMismatchError   the index was made with another embedder, or by a newer kefu
├── IndexMissingError    nothing has been indexed at this address yet
├── IndexUnreadableError the index is there but cannot be read
├── IndexUnwritableError the index cannot be written, say for want of space
├── LedgerError          the ledger cannot be used, or does not have what was asked for
├── SourceError          a named source is not there or cannot be a source
└── SyncBusyError        another sync holds the index
"""


class KnowledgeError(Exception):
    """The root; `str()` is for the operator."""


class EmbedderError(KnowledgeError):
    pass


class EmbedderAwayError(EmbedderError):
    pass


class IndexMismatchError(KnowledgeError):
    pass


class IndexMissingError(KnowledgeError):
    pass


class IndexUnreadableError(KnowledgeError):
    pass


class IndexUnwritableError(KnowledgeError):
    pass


class LedgerError(KnowledgeError):
    pass


class SourceError(KnowledgeError):
    pass


class SyncBusyError(KnowledgeError):
    pass
