"""Tokens of hosts whose clocks differ by some seconds."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken
from rest_framework_simplejwt.utils import aware_utcnow

from accounts import services
from accounts.models import User
from organizations.tests.people import JsonClient

pytestmark = pytest.mark.django_db

LEEWAY = api_settings.LEEWAY
S = timedelta(seconds=1)


def drawn_on_a_host(user: User, *, ahead: timedelta) -> str:
    """An access token of a host whose clock is ahead by so much."""
    token = AccessToken.for_user(user)
    there = aware_utcnow() + ahead
    token.set_iat(at_time=there)
    token.set_exp(from_time=there)
    return str(token)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (3 * S, 200),
        (LEEWAY - 5 * S, 200),
        (LEEWAY + 60 * S, 401),
        (-3 * S, 200),
        (-(AccessToken.lifetime + LEEWAY - 5 * S), 200),
        (-(AccessToken.lifetime + LEEWAY + S), 401),
    ],
    ids=str,
)
def test_a_token_counts_though_its_hosts_clock_differs_by_some_seconds(
    dev: User, api: Callable[[User | None], JsonClient], ahead: timedelta, status: int
) -> None:
    client = api(None)
    token = drawn_on_a_host(dev, ahead=ahead)
    answer = client.get("/api/users/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert answer.status_code == status


def test_a_refresh_token_of_a_host_that_is_ahead_is_taken(dev: User) -> None:
    token = services.LoginToken(services.begin_login(dev).refresh_token)  # type: ignore[arg-type]  # it takes text, its hint is wrong
    token.set_iat(at_time=aware_utcnow() + 3 * S)
    assert services.rotate(str(token)).access_token
