"""kefu's core: turns, dialogue, engines, tickets, history and the server around them."""
