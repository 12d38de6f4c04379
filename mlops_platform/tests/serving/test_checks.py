"""What `manage.py migrate` says of the servers that it is given."""

import pytest
from django.core.management import call_command
from django.db import connection

from mlops_platform.checks import warn_of_logged_statements
from mlops_platform.embedded.postgres import SILENT_LOG

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent() -> None:
    """As the embedded PostgreSQL is; that of DATABASE_URL may be another one."""
    with connection.cursor() as cursor:
        for name, value in SILENT_LOG.items():
            cursor.execute(f"SET LOCAL {name} = '{value}'")


def test_a_silent_postgresql_is_in_order(silent: None) -> None:
    assert warn_of_logged_statements(databases=["default"]) == []
    assert warn_of_logged_statements() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_min_error_statement", "error"),
        ("log_error_verbosity", "default"),
        ("log_statement", "mod"),
        ("log_min_duration_statement", "250"),
        ("log_parameter_max_length_on_error", "-1"),
    ],
)
def test_one_that_logs_statements_is_warned_of_by_the_setting(
    silent: None, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = '{value}'")
    [warning] = warn_of_logged_statements(databases=["default"])
    assert warning.msg.endswith(f"{name} = {value}.")
    call_command("check", databases=["default"])
    assert f"{name} = {value}" in capsys.readouterr().err
