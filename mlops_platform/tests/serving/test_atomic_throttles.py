"""Requests at the same time do not pass a throttle together, and many addresses share one."""

import time
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import User
from mlops_platform.coordination.redis import redis_client
from organizations.tests.people import PASSWORD, JsonClient, all_at_once

pytestmark = pytest.mark.django_db
LOGIN = "/api/users/login"


def log_in(name: str, password: str = "wrong", *, of: str = "127.0.0.1") -> int:
    given = {"username": name, "password": password}
    return int(JsonClient().post(LOGIN, given, REMOTE_ADDR=of).status_code)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """The rates by scope, to be changed; they are as before at the end of the test. What earlier
    tests have asked does not count."""
    for key in redis_client().scan_iter("*throttle*"):
        redis_client().delete(key)
    for scope, rate in JsonClient.rates().items():
        monkeypatch.setitem(JsonClient.rates(), scope, rate)
    return JsonClient.rates()


@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_the_same_time_as_many_pass_as_one_after_the_other(
    ada: User, rates: dict[str, str | None]
) -> None:
    rates["login"] = "5/min"
    answers = all_at_once(*[lambda: log_in("ada") for _ in range(20)])
    assert sorted(answers) == [401] * 5 + [429] * 15


@pytest.mark.parametrize("scope", ["login_address", "login_account"])
def test_a_request_that_one_throttle_refuses_counts_in_none_behind_it(
    ada: User, rates: dict[str, str | None], scope: str
) -> None:
    """Else a guesser whom the first one stops uses up what other accounts of the address have, or
    what the account has at other addresses."""
    rates["login"], rates[scope] = "2/min", "12/hour"
    assert [log_in("ada") for _ in range(20)] == [401] * 2 + [429] * 18
    if scope == "login_address":
        others = [log_in(f"user-{n}") for n in range(10)]
    else:
        others = [log_in("ada", of=f"203.0.113.{n}") for n in range(10)]
    assert others == [401] * 10


def test_a_refused_request_does_not_count(ada: User, rates: dict[str, str | None]) -> None:
    rates["login"] = "1/s"
    began = time.monotonic()
    assert log_in("ada") == 401
    while time.monotonic() < began + 0.7:
        assert log_in("ada") == 429
        time.sleep(0.1)
    time.sleep(max(began + 1.2 - time.monotonic(), 0))
    assert log_in("ada") == 401


def test_an_account_is_guessed_slowly_from_however_many_addresses(
    ada: User, dev: User, rates: dict[str, str | None]
) -> None:
    rates["login_account"] = "8/hour"
    answers = [log_in("ada", of=f"203.0.113.{n}") for n in range(12)]
    assert answers == [401] * 8 + [429] * 4
    assert log_in("ADA", PASSWORD, of="198.51.100.1") == 429
    assert log_in("dev", of="203.0.113.1") == 401


def test_one_address_does_not_use_up_what_all_share(
    ada: User, rates: dict[str, str | None]
) -> None:
    rates["login_account"] = "8/hour"
    assert [log_in("ada", of="203.0.113.1") for _ in range(8)] == [401] * 2 + [429] * 6
    assert log_in("ada", PASSWORD, of="198.51.100.1") == 200


def test_a_user_is_never_kept_out_of_an_address_of_former_logins(
    ada: User, rates: dict[str, str | None]
) -> None:
    rates["login_account"] = "8/hour"
    assert log_in("ada", PASSWORD, of="192.0.2.7") == 200
    for n in range(20):
        log_in("ada", of=f"203.0.113.{n}")
    assert log_in("ada", PASSWORD, of="192.0.2.8") == 429
    assert log_in("ada", PASSWORD, of="192.0.2.7") == 200
    assert log_in("dev", of="192.0.2.7") == 401  # it is an address of ada's alone


def test_a_network_of_ipv6_is_one_address(ada: User, rates: dict[str, str | None]) -> None:
    rates["login"] = "3/min"
    answers = [log_in("ada", of=f"2001:db8:1:2::{n}") for n in range(5)]
    assert answers == [401] * 3 + [429] * 2
    assert log_in("ada", of="2001:db8:1:3::1") == 401
    assert log_in("ada", of="::ffff:203.0.113.9") == 401


def test_while_redis_is_away_each_process_counts_for_itself(
    ada: User, rates: dict[str, str | None], settings: Settings, tmp_path: Path
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/no-server.sock"
    rates["login"] = "3/min"
    address = "203.0.113.77"  # of this test alone: what a process counts outlives it
    assert [log_in("ada", of=address) for _ in range(5)] == [401] * 3 + [429] * 2


def test_a_name_of_any_length_is_counted_at_once(rates: dict[str, str | None]) -> None:
    rates["login"] = "2/min"
    names = ["\ufdfa" * length for length in (3000, 3001, 3002)]
    answers = [log_in(name) for name in names]
    assert answers[2] == 429
