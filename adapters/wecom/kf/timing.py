"""How long we wait, for what, on 微信客服."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.wecom import timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(timing.Timing):
    """Waits and limits, in seconds."""

    upkeep: float = 12.0
    """Between two looks at the list of accounts: what tells whether WeCom can be reached, for its calls tell nothing
    while there are none."""
    look: float = 300.0
    """An account that nobody called for is looked into this often: WeCom calls three times and then no more."""
    looks: int = 4
    """Such looks a minute, of all accounts: without a call's token WeCom allows few, and does not say how few."""
    token_life: float = 570.0
    """A call's token is good for ten minutes."""
    first_look: float = 3600.0
    """Where we have never read before, WeCom goes three days back; what is older than this is left alone. Others have
    answered it, or we have, before our database was lost."""
    welcome: float = 18.0
    """From a customer's entering; after twenty seconds WeCom takes no welcome."""
    settle: float = 2.0
    """Between looks at whether a reply of which WeCom says that it did not arrive has been marked as sent."""
