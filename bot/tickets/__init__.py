"""Tickets for the people who work on them: the desk, and the notices that call them to it."""
