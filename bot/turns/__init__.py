"""From an accepted message to a delivered reply: the inbox, the lanes, a turn's run and its delivery."""
