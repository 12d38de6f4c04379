"""A clock that a test moves on."""

from datetime import timedelta

import pytest
from django.utils import timezone


def later(monkeypatch: pytest.MonkeyPatch, **amount: float) -> None:
    """From now on it is so much later: `later(monkeypatch, seconds=11)`."""
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(**amount))
