"""The documents about the API are made once by each process, and not sent to a client that has
them."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from mlops_platform import documents
from mlops_platform.api.schema.generator import ApiGenerator
from organizations.tests.people import all_at_once

DOCUMENTS = [
    "/swagger.json",
    "/swagger/?format=openapi",
    "/swagger/",
    "/swagger.yaml",
    "/openapi.json",
    "/openapi.yaml",
]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each time that a document is made; none has been made before."""
    calls, get_schema = [], ApiGenerator.get_schema

    def count(self: Any, request: Any = None, public: bool = False) -> Any:
        calls.append(request)
        return get_schema(self, request, public)

    monkeypatch.setattr(ApiGenerator, "get_schema", count)
    monkeypatch.setattr(documents, "_kept", {})
    documents.swagger.cache_clear()
    documents.openapi.cache_clear()
    return calls


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_is_made_once(made, path):
    client = APIClient(HTTP_ACCEPT="text/html" if path.endswith("/") else "*/*")
    first, *others = [client.get(path) for _ in range(3)]
    assert len(made) == 1
    assert first.status_code == 200
    for other in others:
        assert (other.content, other.headers) == (first.content, _but_the_id(first, other))


def _but_the_id(first: Any, other: Any) -> Any:
    return {**first.headers, "X-Request-ID": other["X-Request-ID"]}


def test_many_that_ask_at_once_wait_for_the_one_that_is_made(made, transactional_db):
    answers = all_at_once(*[lambda: APIClient().get("/swagger.json").status_code] * 8)
    assert answers == [200] * 8
    assert len(made) == 1


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_client_that_has_it_is_told_so(path):
    first = APIClient(HTTP_ACCEPT="*/*").get(path)
    assert first["Cache-Control"] == f"public, max-age={documents.MAX_AGE_S}"
    again = APIClient(HTTP_ACCEPT="*/*").get(path, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    other = APIClient(HTTP_ACCEPT="*/*").get(path, HTTP_IF_NONE_MATCH='"another"')
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_all_hosts_get_the_same_which_names_none(path, settings):
    settings.ALLOWED_HOSTS = ["*"]
    one, other = [APIClient().get(path, HTTP_HOST=f"{n}.example.org").content for n in "ab"]
    assert one == other
    assert b"a.example.org" not in one


def test_no_page_contains_a_token_of_its_reader():
    for path in DOCUMENTS:
        text = APIClient(HTTP_ACCEPT="text/html").get(path).content.decode()
        assert "csrfmiddlewaretoken" not in text
