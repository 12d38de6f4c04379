"""Headers against what browsers, caches and forged hosts could do, and bodies without a length."""

import json
from io import BytesIO
from typing import Any

import pytest
from django.test import Client, RequestFactory

from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.wsgi import application

PAGES = ["/api/orgs/my", "/api/nothing", "/healthz", "/swagger/", "/swagger.json", "/admin/login/"]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_is_guarded(db, anyone, path):
    answer = anyone.get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe-eval" not in answer["Content-Security-Policy"]
    assert "Server" not in answer


@pytest.mark.parametrize("person", ["ada", None])
def test_api_answers_are_never_stored(ada, api, person):
    client = api(ada if person else None)
    for path in ("/api/users/me", "/api/orgs/my/", "/api/nothing"):
        assert client.get(path)["Cache-Control"] == "no-store"
    tokens = client.post(
        "/api/users/login", {"username": "ada", "password": "correct-horse-battery"}
    )
    assert tokens.status_code == 200
    assert tokens["Cache-Control"] == "no-store"
    assert not tokens.cookies


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:80:80", "", "a b", "[::1", "\xff"]
)
def test_a_forged_host_is_refused_in_json(db, path, host):
    answer = Client(raise_request_exception=False).get(path, HTTP_HOST=host)
    assert answer.status_code == 400
    assert error_body(answer)["code"] == "bad_request"
    assert "evil" not in answer.content.decode()


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/..", "/swagger//evil.example"])
def test_no_redirect_leads_elsewhere(db, anyone, path):
    answer = anyone.get(path)  # the client reads the first as the front page of another host
    assert answer.status_code == 404 or answer["Location"] == "/swagger/"


def test_a_token_without_its_scheme_is_refused_with_what_is_missing(db, anyone):
    answer = anyone.get("/api/users/me", HTTP_AUTHORIZATION="eyJh.eyJz.c2ln")
    assert answer.status_code == 401
    assert "Bearer" in answer.json()["detail"]


def test_metrics_need_the_token(db, anyone, settings):
    settings.METRICS_TOKEN = "scrape-me"
    for given in ("", "Bearer", "Bearer scrape", "scrape-me", "Bearer scrape-me2", "Bearer \xe4"):
        answer = anyone.get("/metrics", HTTP_AUTHORIZATION=given)
        assert answer.status_code == 401
        assert error_body(answer)["code"] == "not_authenticated"
    assert anyone.get("/metrics", HTTP_AUTHORIZATION="Bearer scrape-me").status_code == 200


def test_metrics_without_a_token_are_for_this_machine(db, anyone):
    assert anyone.get("/metrics", REMOTE_ADDR="10.0.0.9").status_code == 401
    assert anyone.get("/metrics", REMOTE_ADDR="::1").status_code == 200


class Chunks(BytesIO):
    """A body without a length, as the web server hands one on; counts what is read of it."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


def send_in_chunks(path, body):
    body = Chunks(body)
    shown = {"CONTENT_TYPE": "application/json", "HTTP_TRANSFER_ENCODING": "chunked"}
    environ = RequestFactory().post(path).environ | shown | {"wsgi.input": body}
    environ.pop("CONTENT_LENGTH", None)
    status: list[str] = []

    def start_response(line: str, *_headers: Any) -> Any:
        status.append(line)

    answer = b"".join(application(environ, start_response))
    return int(status[0].split()[0]), json.loads(answer), body.taken


def test_a_body_in_chunks_is_read(transactional_db):
    body = json.dumps({"username": "grace", "password": "correct-horse-battery"}).encode()
    status, shown, _ = send_in_chunks("/api/users/register", body)
    assert status == 201, shown
    assert shown["username"] == "grace"


def test_a_body_in_chunks_is_read_no_further_than_the_limit(transactional_db, settings):
    status, shown, taken = send_in_chunks("/api/users/register", b" " * 9_000_000)
    assert (status, shown["code"]) == (413, "too_large")
    assert taken <= settings.MAX_BODY_BYTES + 1
