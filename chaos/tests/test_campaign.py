"""A campaign on a platform that does not come back ends with a finding, not with an error."""

import pytest

from chaos.campaign import Result, last_checks
from chaos.checks import final
from chaos.checks.findings import Breach
from chaos.load.journal import Journal
from chaos.tests.servers import Servers


def test_tables_that_cannot_be_read_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final, "SETTLE_S", 0.2)
    platform = Servers()  # never started
    try:
        found = list(last_checks(platform, Journal("chaos"), Result("servers")))
    finally:
        platform.__exit__(None, None, None)
    assert [each.breach for each in found] == [Breach.PLATFORM]
    assert "cannot be read" in found[0].sentence
