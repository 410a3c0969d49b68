"""The terminal: `kefu chat`, and the same core for one question or a file of them."""
