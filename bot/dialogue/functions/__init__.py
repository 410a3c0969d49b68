"""What can be done for a customer besides answering. Adding something is one file: docs/functions.md."""
