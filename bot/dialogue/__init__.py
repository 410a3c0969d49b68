"""One turn of a conversation: what was said becomes a reply and its effects. Knows no platform and no storage."""
