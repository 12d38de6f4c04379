"""A limit that makes no sense is refused when the platform starts, by the name of its variable."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.limits import rate, whole_number


@pytest.mark.parametrize("given", ["1", "20000", "1000000000"])
def test_a_whole_number_is_taken(given: str) -> None:
    assert whole_number("MAX_QUEUED_PER_USER", given) == int(given)


@pytest.mark.parametrize("given", ["", "0", "-1", "1.5", "many", "1000000001", "\u0661", "1e3"])
def test_any_other_is_refused(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="MAX_QUEUED_PER_USER is"):
        whole_number("MAX_QUEUED_PER_USER", given)


@pytest.mark.parametrize("given", ["10/min", "1/s", "60/hour", "100000/day", "5/m"])
def test_a_rate_is_taken(given: str) -> None:
    assert rate("THROTTLE_QUOTE", given) == given


@pytest.mark.parametrize("given", ["", "10", "0/min", "/min", "ten/min", "10/week", "10/min/min"])
def test_what_is_no_rate_is_refused(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="THROTTLE_QUOTE is"):
        rate("THROTTLE_QUOTE", given)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_QUEUED_PER_CLUSTER",
        "THROTTLE_EXPLAIN",
        "WEB_THREADS",
        "RUNTIMES_READERS",
        "LEDGER_RETENTION_DAYS",
    ],
)
def test_the_platform_does_not_start_with_it(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        check=False,
        env={**os.environ, name: "nonsense"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert f"{name} is 'nonsense'" in ended.stderr
