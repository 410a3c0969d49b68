"""Measurements, apart from the tests: they print figures and judge nothing."""
