"""Faults on purpose, against real parts: the quick form of each runs always, the long form with `make test-faults`."""
