"""What only the real web server shows: bodies in chunks, and requests that never reach Django."""

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from organizations.tests.people import PASSWORD

pytestmark = pytest.mark.e2e
REGISTER = "/api/users/register"
HEADERS = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}


def post_in_chunks(server: str, chunks: Iterator[bytes]) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    try:
        connection.request("POST", REGISTER, body=chunks, headers=HEADERS, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_body_in_chunks_counts_as_any_other(server, settings):
    body = json.dumps({"username": "grace", "password": PASSWORD}).encode()
    status, shown = post_in_chunks(server, (body[at : at + 5] for at in range(0, len(body), 5)))
    assert (status, shown["username"]) == (201, "grace")

    too_many = settings.MAX_BODY_BYTES // 65536 + 1
    status, shown = post_in_chunks(server, (b" " * 65536 for _ in range(too_many)))
    assert (status, shown["code"]) == (413, "too_large")


NO_REQUESTS = (
    b"NONSENSE\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"POST /api/users/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)


def test_what_is_no_request_is_refused_and_the_server_lives_on(server):
    address = urlsplit(server)
    for sent in NO_REQUESTS:
        with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
            raw.sendall(sent)
            assert raw.recv(4096).startswith(b"HTTP/1.1 4"), sent
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
