"""The admin's login page, which takes a form from every visitor."""

import time

import pytest
from django.test import Client

MOST_S = 0.3  # of the processor
MOST_BYTES = 32 * 1024
LARGE = "\ufdfa" * 250_000  # one character that NFKC makes 18 of


@pytest.mark.django_db
@pytest.mark.parametrize("large", ["username", "password", "next"])
def test_a_large_field_of_the_admins_login_costs_little_and_is_not_shown_again(large):
    form = {"username": "ada", "password": "wrong", "next": "/admin/", large: LARGE}
    began = time.process_time()
    answer = Client().post("/admin/login/", form)
    assert time.process_time() - began < MOST_S
    assert answer.status_code == 200
    assert len(answer.content) < MOST_BYTES


@pytest.mark.django_db
def test_a_large_next_of_the_admins_login_is_not_shown_again_either():
    answer = Client().post("/admin/login/", {"username": "ada", "next": "/" + "a" * 900_000})
    assert len(answer.content) < MOST_BYTES
