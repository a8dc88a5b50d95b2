"""For every test: what hypothesis chooses is the same in every run, and no machine is too slow or too busy for it."""

from hypothesis import HealthCheck, settings

# `make fuzz` and the programs in benchmarks/ are there to try other values each time.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
