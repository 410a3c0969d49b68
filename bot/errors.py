"""What can go wrong, sorted by who acts on it.

KefuError
 ├── OperatorError                the operator changes something; printed as one line, exit 2
 │    ├── SettingsError           kefu.toml or the environment
 │    ├── SchemaTooNew            the database was written by a newer kefu
 │    └── AlreadyRunning          another process holds this data folder
 ├── StoreUnavailable             the database can not commit now (locked, full, failing disk)
 ├── TurnError                    ends a turn; becomes a sentence for the customer in Dialogue and nowhere else
 │    ├── KnowledgeUnavailable
 │    ├── FunctionFailed          a function gave no result in time, or none that can be used
 │    │    └── Unconfirmed        nobody knows whether it did what it was called for
 │    └── EngineError
 │         ├── EngineUnavailable  down, starting, or refusing more work
 │         │    └── EngineBusy    as many generations run as it takes; the next may be taken again
 │         ├── EngineTimeout      no output within the limit
 │         └── BadOutput          the engine said something that can not be used
 ├── SendError                    a reply did not (surely) reach the platform
 │    ├── NotSent                 surely not sent; may be tried again, `retry_after` seconds at the earliest
 │    ├── PerhapsSent             nobody can tell
 │    ├── DestinationGone         blocked, kicked, deleted: nobody to send to
 │    ├── ChannelMoved            the conversation has another address now
 │    ├── CredentialsRefused      the platform does not know us any more
 │    └── Undeliverable           the platform refuses this content for good
 └── NotFound                     a ticket, turn or delivery that does not exist, or not for this person
"""

from __future__ import annotations


class KefuError(Exception):
    """The root of the errors this product raises on purpose."""


class OperatorError(KefuError):
    """The operator has to change something. The text is one line, names what and never holds a secret."""


class SettingsError(OperatorError):
    """A setting is unknown, malformed or incomplete."""


class SchemaTooNew(OperatorError):
    """The database has a revision this version does not know."""


class AlreadyRunning(OperatorError):
    """Another process works on this data folder."""


class StoreUnavailable(KefuError):
    """The database could not commit within the caller's patience. Nothing of the caller's work was kept."""


class TurnError(KefuError):
    """The turn can not be answered as asked."""


class KnowledgeUnavailable(TurnError):
    """The index can not be searched now."""


class FunctionFailed(TurnError):
    """A function gave no result in time, or none that can be used."""


class Unconfirmed(FunctionFailed):
    """A function that changes something was begun, and nobody knows what became of it."""


class EngineError(TurnError):
    """The engine failed this generation."""


class EngineUnavailable(EngineError):
    """The engine is down, still loading, or refuses more work."""


class EngineBusy(EngineUnavailable):
    """The engine is well and has all the work it takes."""


class EngineTimeout(EngineError):
    """The engine gave no (further) output in time."""


class BadOutput(EngineError):
    """The engine's output can not be read, even after the one repair that is allowed."""


class SendError(KefuError):
    """A reply did not surely reach the platform."""


class NotSent(SendError):
    """The platform surely did not take it: connection refused, 429, 5xx with a body."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """Seconds the platform asked us to wait; None where it did not say."""


class PerhapsSent(SendError):
    """Bytes went out and no answer came back."""


class DestinationGone(SendError):
    """Blocked, kicked, deactivated or deleted."""


class ChannelMoved(SendError):
    """The channel has a new name; the same send will work there."""

    def __init__(self, new_channel: str) -> None:
        super().__init__("the channel has moved")
        self.new_channel = new_channel


class CredentialsRefused(SendError):
    """The token was revoked or replaced. Deliveries wait until it works again."""


class Undeliverable(SendError):
    """The platform refuses this content, in every form we have."""


class NotFound(KefuError):
    """There is no such thing, or not for this person: both look the same on purpose."""
