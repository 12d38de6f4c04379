"""A clock that a test moves on."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import services


def later(monkeypatch: pytest.MonkeyPatch, **amount: float) -> None:
    """From now on it is so much later: `later(monkeypatch, seconds=11)`."""
    now = timezone.now
    of_database = services.Now  # type: ignore[attr-defined]  # patched where it is used
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(**amount))
    monkeypatch.setattr(services, "Now", lambda: of_database() + timedelta(**amount))
