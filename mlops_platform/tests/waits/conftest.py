"""Shorter waits, so that tests that wait in vain are quick."""

import re
from collections.abc import Iterator

import pytest
from django.db import connection

from mlops_platform.database import row_waits


@pytest.fixture
def short_wait(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections are opened with a lock_timeout of 100 ms; no row is known to be locked."""
    options = connection.settings_dict["OPTIONS"]
    shorter, count = re.subn(r"lock_timeout=\w+", "lock_timeout=100ms", options["options"])
    assert count == 1
    monkeypatch.setitem(options, "options", shorter)
    connection.close()
    row_waits._in_vain.clear()
    row_waits.referred_in_vain.clear()
    yield
    row_waits._in_vain.clear()
    row_waits.referred_in_vain.clear()
    connection.close()
