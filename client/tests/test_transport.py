"""Retries, errors and pages, against a server that fails as each test says, on a real socket."""

from __future__ import annotations

import socket

import pytest

from mlops import ApiError, BusyError, Client, NotFoundError, UnreachableError
from tests.equipment import Answer, Scripted

SUBMIT = {"cluster_id": "gpu-east", "image": "train:1"}
LOST = Answer(0)
AT_ONCE = (("Retry-After", "0"),)


def client(scripted: Scripted) -> Client:
    return Client(scripted.url, "mlops_key")


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_refused_for_load_is_asked_again(scripted: Scripted, status: int) -> None:
    scripted.script.extend([Answer(status, {}, AT_ONCE)] * 3 + [Answer(200, {"name": "ada"})])
    assert client(scripted).users.me().name == "ada"
    assert len(scripted.asked) == 4


def test_also_a_post_that_may_not_be_made_twice(scripted: Scripted) -> None:
    scripted.script.extend([Answer(503, {}, AT_ONCE), Answer(201, {"id": "1"})])
    client(scripted).organizations.create(name="Engines")
    assert len(scripted.asked) == 2


def test_a_refusal_that_asks_to_wait_for_long_is_raised_at_once(scripted: Scripted) -> None:
    body = {"detail": "Too many.", "code": "throttled"}
    scripted.script.append(Answer(429, body, (("Retry-After", "3600"),)))
    with pytest.raises(BusyError, match="Too many") as caught:
        client(scripted).users.login(username="ada", password="wrong")
    assert (caught.value.code, caught.value.retry_after_s) == ("throttled", 3600)
    assert len(scripted.asked) == 1


def test_after_all_retries_the_last_refusal_is_raised(scripted: Scripted) -> None:
    scripted.otherwise = lambda asked: Answer(503, {"detail": "Busy.", "code": "busy"}, AT_ONCE)
    with pytest.raises(BusyError) as caught:
        Client(scripted.url, "key", retries=2).users.me()
    assert caught.value.code == "busy"
    assert len(scripted.asked) == 3


def test_a_submit_is_repeated_after_a_lost_connection_with_the_same_key(
    scripted: Scripted,
) -> None:
    scripted.script.extend([LOST, LOST, Answer(201, {"id": "1"})])
    client(scripted).deployments.submit(**SUBMIT)
    keys = {asked.headers["Idempotency-Key"] for asked in scripted.asked}
    assert len(scripted.asked) == 3
    assert len(keys) == 1
    assert all(asked.body == SUBMIT for asked in scripted.asked)


def test_two_submits_have_two_keys_and_a_given_key_is_sent(scripted: Scripted) -> None:
    deployments = client(scripted).deployments
    for key in (None, None, "nightly-42"):
        deployments.submit(**SUBMIT, idempotency_key=key)
    first, second, third = (asked.headers["Idempotency-Key"] for asked in scripted.asked)
    assert first != second
    assert third == "nightly-42"


def test_a_post_that_may_not_be_made_twice_is_not_repeated_when_its_answer_is_lost(
    scripted: Scripted,
) -> None:
    scripted.script.append(LOST)
    with pytest.raises(UnreachableError):
        client(scripted).organizations.create(name="Engines")
    assert len(scripted.asked) == 1


def test_a_deletion_whose_answer_was_lost_is_done(scripted: Scripted) -> None:
    scripted.script.extend([LOST, Answer(404, {"detail": "Gone.", "code": "not_found"})])
    client(scripted).keys.delete("ci")
    assert [asked.method for asked in scripted.asked] == ["DELETE", "DELETE"]


def test_a_deletion_of_nothing_is_not_found(scripted: Scripted) -> None:
    scripted.script.append(Answer(404, {"detail": "Nothing here.", "code": "not_found"}))
    with pytest.raises(NotFoundError):
        client(scripted).keys.delete("ci")


def test_nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=r"does not answer: .*refused"):
        Client(url, "key", retries=1).users.me()


def test_an_error_has_code_detail_and_fields(scripted: Scripted) -> None:
    fields = {"required_gpu": ["Must be 0 or more."], "deployments": {"3": {"image": ["Missing."]}}}
    body = {"detail": "The request has faults.", "code": "invalid", "fields": fields}
    scripted.script.append(Answer(400, body))
    with pytest.raises(ApiError) as caught:
        client(scripted).deployments.submit(**SUBMIT)
    error = caught.value
    assert (error.status, error.code, error.fields) == (400, "invalid", fields)
    assert str(error).splitlines() == [
        "The request has faults.",
        "  required_gpu: Must be 0 or more.",
        "  deployments: 3: image: Missing.",
    ]


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[1]"])
def test_an_error_of_a_proxy_is_an_error_too(scripted: Scripted, body: bytes) -> None:
    scripted.script.append(Answer(502, body))
    with pytest.raises(ApiError, match="502"):
        client(scripted).users.me()


def test_a_list_is_read_page_by_page_while_it_is_iterated_over(scripted: Scripted) -> None:
    link = (("Link", '<http://elsewhere.invalid/api/clusters?cursor=abc%3D>; rel="next"'),)
    first, second = [{"id": "1"}, {"id": "2"}], [{"id": "3"}]
    scripted.script.extend([Answer(200, first, link), Answer(200, second)])
    rows = iter(client(scripted).clusters.list(organization="Engines"))
    assert [next(rows).id, next(rows).id] == ["1", "2"]
    assert len(scripted.asked) == 1
    assert [row.id for row in rows] == ["3"]
    assert scripted.asked[1].path == "/api/clusters?limit=1000&organization=Engines&cursor=abc%3D"


def test_an_empty_page_may_have_another_behind_it(scripted: Scripted) -> None:
    link = (("Link", '</api/clusters?cursor=b>; rel="next"'),)
    scripted.script.extend([Answer(200, [], link), Answer(200, [{"id": "1"}])])
    assert len(client(scripted).clusters.list().to_list()) == 1


def test_names_are_quoted_in_a_path(scripted: Scripted) -> None:
    client(scripted).nodes.get("gpu east/1", "é?")
    assert scripted.asked[0].path == "/api/clusters/gpu%20east%2F1/nodes/%C3%A9%3F"


def test_too_few_names_are_an_error_before_any_call(scripted: Scripted) -> None:
    with pytest.raises(TypeError, match="takes cluster, node by position"):
        client(scripted).nodes.get("gpu-east")
    assert not scripted.asked


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", ""])
def test_what_is_no_address_is_refused_before_any_call(url: str) -> None:
    with pytest.raises(Exception, match="begins with http"):
        Client(url, "key")
