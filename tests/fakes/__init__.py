"""Counterparts of the outside world: strict, over real sockets, and able to fail on purpose."""
