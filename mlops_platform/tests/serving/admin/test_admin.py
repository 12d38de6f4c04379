"""The operators' pages as a whole: which users they let in, and what they leave out."""

import pytest
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.urls import reverse

from accounts.models import User
from organizations.tests.people import PASSWORD


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def lists():
    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    ]


def test_the_front_page_names_the_place_and_leads_to_the_api(operator):
    text = operator.get("/admin/").content.decode()
    assert "MLOps platform operators" in text
    assert 'href="/swagger/"' in text
    for path in lists():
        assert f'href="{path}"' in text


def test_every_list_opens_and_finds_nothing_without_fault(operator):
    for path in lists():
        assert operator.get(path).status_code == 200
        assert operator.get(path, {"q": "nothing is called so"}).status_code == 200


def test_only_staff_may_enter(client, vera):
    client.force_login(vera)
    for path in ["/admin/", *lists()]:
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_refresh_tokens_are_not_shown_to_operators(operator):
    assert operator.get("/admin/token_blacklist/outstandingtoken/").status_code == 404
    assert "token" not in operator.get("/admin/").content.decode().replace(
        "csrfmiddlewaretoken", ""
    )


@pytest.mark.parametrize("name", ["operators/operators.css", "operators/filters.js"])
def test_the_style_is_found(name):
    assert finders.find(name)
