"""The core as a whole, against a model of it."""
