"""For every test, in whatever order and process it is run."""

import asyncio

from hypothesis import HealthCheck, settings

# What hypothesis chooses is the same in every run, and no machine is too slow or too busy for it: `make fuzz` and the programs in
# benchmarks/ are there to try other values each time.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# Where no loop was ever set, pytest-asyncio's question for the present one makes one, which nobody closes: the first test of a
# process that is async would leave it to be found, as a warning, by whichever test runs when it is swept up.
asyncio.set_event_loop(None)
