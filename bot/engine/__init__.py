"""What answers a prompt from its passages; each engine implements `bot.ports.Engine`."""
