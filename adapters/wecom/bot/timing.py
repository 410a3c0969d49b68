"""How long we wait, for what, with an AI bot."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.wecom.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class BotTiming(Timing):
    """Waits and limits, in seconds."""

    # -- Answers that grow --

    apart: float = 1.05
    """Between two states of one answer; WeCom asks for a second."""
    open_after: float = 0.5
    """A message that is not answered so soon gets a sign that somebody is at work."""
    stream_ends: float = 330.0
    """After six minutes WeCom ends an answer that still grows (ten, says a newer page); we end it before."""
    shed_ends: float = 3.0
    """The sign under a message that was too much goes so soon, where nothing else is said about it."""
    look: float = 0.2
    """Between two looks at what is due."""
    refresh_pause: float = 20.0
    """A conversation's answers stop growing for so long when WeCom says that it is too much; they are finished all the
    same."""
    frequency_pause: float = 10.0
    """A final text that met the same is tried again so soon: the minute that is full may be nearly over."""

    # -- The long connection --

    ping: float = 12.0
    """Between two pings. WeCom asks for one in thirty seconds; with that, half an hour of silence would be noticed
    within a minute, and we promise thirty seconds."""
    silent: float = 26.0
    """A connection that has not been heard for so long is deaf, whatever TCP believes."""
    ack: float = 5.0
    """For the acknowledgement of a frame."""
    late_ack: float = 0.4
    """While an older frame's acknowledgement is owed, the first one that comes may be that one's."""
    line_wait: float = 2.0
    """What is to go out waits so long for a connection that is just being made."""
    longest_pause: float = 30.0
    kicked_pause: float = 1200.0
    """After another connection took our place: two that take it from each other would do so for ever."""
    lapsed_pause: float = 15.0
    """After WeCom told us that we are not subscribed (846609): perhaps somebody else is."""
    lease_beat: float = 4.0
    """Between two signs of life of whoever holds the connection."""
    lease_life: float = 13.0
    """Without one for so long, the next process takes over."""
    store_pause: float = 1.0
    """Between two attempts to store what came in: WeCom does not send it a second time."""

    # -- Callbacks --

    fetch: float = 10.0
    """A finished answer waits so long for WeCom to come for it; it comes every second or so."""
    fetch_look: float = 0.5
    """Between two looks at whether another replica has handed it over."""
    stream_life: float = 375.0
    """So long after the message WeCom comes no more."""
    response_life: float = 3540.0
    """A message may be answered at its response_url for an hour, once."""
    row_wait: float = 20.0
    """A reply waits so long for us to know where it belongs: after a crash in between, WeCom's next attempt tells."""
    keep: float = 7 * 86400.0
    """What is remembered of an answered message, for a thumb up or down that comes later."""
