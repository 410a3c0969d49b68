"""Puts the web channel together."""

from __future__ import annotations

from adapters.web.channel import WebChannel
from adapters.web.settings import ChannelSettings
from bot.ports import HttpChannel, Surroundings


def build(settings: ChannelSettings, surroundings: Surroundings) -> HttpChannel:
    """The channel, without having opened or read anything yet."""
    return WebChannel(settings, surroundings)
