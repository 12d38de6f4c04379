"""Checks of the servers that the platform is given; `manage.py migrate` runs them."""

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import connections

from mlops_platform.embedded.postgres import SILENT_LOG

_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name"


@checks.register(checks.Tags.database)
def warn_of_logged_statements(
    databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """A warning where PostgreSQL may write into its log what users send. One query for each
    database."""
    return [each for alias in databases or () for each in _logged_statements(alias)]


def _logged_statements(alias: str) -> list[checks.CheckMessage]:
    with connections[alias].cursor() as cursor:
        cursor.execute(_SETTINGS, [list(SILENT_LOG)])
        talkative = [f"{name} = {value}" for name, value in cursor if value != SILENT_LOG[name]]
    if not talkative:
        return []
    return [
        checks.Warning(
            f"PostgreSQL may log statements, with all that users send: {', '.join(talkative)}.",
            hint="docs/how-to/run-in-production.md has the settings.",
            id="mlops_platform.W001",
        )
    ]
