"""A search of the operators' lists stays cheap, however long its text is."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from organizations.tests.people import PASSWORD

SEARCHED = [
    pytest.param(each, id=each.opts.label)
    for each in admin.site._registry.values()
    if each.search_fields
]
WORDS = " ".join(f"w{number}" for number in range(900))  # as many as a path may have


@pytest.mark.parametrize("model_admin", SEARCHED)
def test_a_long_search_compares_few_words(client: Any, db: None, model_admin: Any) -> None:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    options = model_admin.opts
    path = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path, {"q": WORDS}).status_code == 200
    assert max(each["sql"].count("LIKE") for each in queries) <= 300
