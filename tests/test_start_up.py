"""Times that do not fit together are refused before anything is sent: grace, time-out, lag, search and the service's record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from direct import Bench, DirectTransport, spec_text
from virtual import run_virtual

from wanspec.api import Session
from wanspec.errors import SettingsError
from wanspec.ledger import SqliteLedger
from wanspec.patience import Policy, unsound

PLAIN = Policy()


@pytest.mark.parametrize(
    ("policy", "timeout_s", "says"),
    [
        (PLAIN, 30.0, ""),
        (PLAIN, 5.0, ""),
        (PLAIN, 30.5, "may be under way for 30.5 s"),
        (Policy(http_timeout_s=300.0), 300.0, ""),
        (Policy(http_timeout_s=300.0), 300.1, "http_timeout_s = 300 s"),
        (Policy(list_lag_s=86_400.0), 30.0, "has no record of it any more"),
        (Policy(send_grace_s=86_240.0), 30.0, "86400 s)"),
        (Policy(send_grace_s=86_239.0), 30.0, ""),
        (Policy(search_after_s=(0.0, 90_000.0)), 30.0, "search_s"),
    ],
)
def test_the_inequality_of_the_submit_protocol(policy: Policy, timeout_s: float, says: str) -> None:
    """Every POST is dead when it is believed so, and the last search comes before the service's record is gone."""
    assert says in unsound(policy, timeout_s)
    assert bool(unsound(policy, timeout_s)) == bool(says)


@pytest.mark.parametrize(("policy_s", "transport_s"), [(30.0, 60.0), (90_000.0, 30.0)])
def test_a_program_with_another_transport_sends_nothing(tmp_path: Path, policy_s: float, transport_s: float) -> None:
    """A transport that waits for longer than the ledger's readers believe could have a POST of its own searched for too early."""
    bench = Bench(tmp_path, policy=replace(PLAIN, http_timeout_s=policy_s))

    async def main() -> None:
        ledger = await SqliteLedger.open(bench.settings.home / "ledger.db", "mock")
        session = Session(bench.settings, bench.load(spec_text(1)), ledger)
        try:
            with pytest.raises(SettingsError) as refused:
                await session.run(DirectTransport(bench.service, bench.clock, timeout_s=transport_s), bench.clock)
            assert refused.value.hint
        finally:
            await ledger.close()

    run_virtual(main)
    assert bench.service.calls == {}


def test_at_the_command_line_it_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    from served import cli, served

    (tmp_path / "a.yaml").write_text(spec_text(1))
    with served() as server:
        done = cli(["run", "a.yaml"], tmp_path, server.base_url, WANSPEC_HTTP_TIMEOUT_S="90000")
        assert (done.returncode, server.service.calls) == (3, {})
    assert "http_timeout_s" in done.stderr
    assert "WANSPEC_HTTP_TIMEOUT_S" in done.stderr
    assert "Traceback" not in done.stderr
