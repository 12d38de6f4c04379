"""What arrives slowly, never, or in too large a size costs no thread and no memory."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_platform.tests.web.asking import ask, assert_quick, connect, received, request
from mlops_platform.web import limits

pytestmark = pytest.mark.e2e
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
HALF_SENT = {
    "nothing": b"",
    "half a line": b"GET /api/orgs",
    "half of the headers": b"POST /api/users/login HTTP/1.1\r\nHost: localhost\r\nX: ",
    "half a body": b"POST /api/users/login HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "half a body in chunks": b"POST /api/users/login HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
}


def form_of(size: int) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    return head + b"." * size + b"\r\n--x--\r\n"


def test_32_half_sent_requests_stop_no_other_user(server, ada):
    for sent in HALF_SENT.values():
        half_sent = [connect(server, sent) for _ in range(32)]
        assert_quick(server, ada)
        for raw in half_sent:
            raw.close()


def test_a_request_that_does_not_arrive_in_time_gets_408(server):
    def end_of(sent: bytes) -> tuple[bytes, float]:
        began = time.monotonic()
        with connect(server, sent) as raw:
            return received(raw), time.monotonic() - began

    with ThreadPoolExecutor(len(HALF_SENT)) as all_at_once:
        ends = dict(zip(HALF_SENT, all_at_once.map(end_of, HALF_SENT.values()), strict=True))
    for name, (answer, seconds) in ends.items():
        if name == "nothing":
            assert answer == b""
        else:
            assert answer.startswith(b"HTTP/1.1 408 "), name
            assert b'"code": "request_timeout"' in answer
        allowed = limits.BODY_S if "body" in name else limits.HEAD_S
        assert seconds < allowed + 5, name


def test_a_request_that_drips_gets_408_too(server):
    with connect(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n") as raw:
        began = time.monotonic()
        raw.settimeout(0.5)
        answer = b""
        while not answer and time.monotonic() - began < limits.HEAD_S + 5:
            try:
                raw.sendall(b"X: y\r\n")
                answer = raw.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_even_if_it_sends_empty_lines(server):
    with connect(server, request("/healthz", headers={"Connection": "keep-alive"})) as raw:
        assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
        raw.sendall(b"\r\n\r\n")
        began = time.monotonic()
        received(raw)
        assert time.monotonic() - began < limits.IDLE_S + 5


def test_20_mib_are_refused_on_every_path(server):
    for path in ("/admin/login/", "/api/users/login", "/swagger/", "/nothing"):
        answer = ask(server, path, method="POST", body=form_of(20 * limits.MIB), headers=FORM)
        assert (answer.status, answer.json()["code"]) == (413, "too_large"), path
        assert answer.headers["X-Request-ID"]
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_an_upload_is_not_written_to_the_disk(db, anyone, monkeypatch):
    def write(*_: object, **__: object) -> None:
        pytest.fail("a file was made")

    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", write)
    monkeypatch.setattr("django.core.files.uploadedfile.InMemoryUploadedFile.__init__", write)
    answer = anyone.generic(
        "POST", "/admin/login/", form_of(900_000), content_type=FORM["Content-Type"]
    )
    assert answer.status_code == 200  # the form again, with its errors


def test_headers_are_bounded(server):
    for head, status in (
        (b"X: " + b"a" * 400_000 + b"\r\n\r\n", b"431"),
        (b"X: y\r\n" * 101 + b"\r\n", b"431"),
    ):
        with connect(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head) as raw:
            assert received(raw).startswith(b"HTTP/1.1 " + status)
    with connect(server, request("/" + "a" * 9000)) as raw:
        assert received(raw).startswith(b"HTTP/1.1 414")


def test_a_header_that_is_named_like_wsgis_own_changes_nothing(server, ada):
    for name in ("SCRIPT_NAME", "Script-Name", "PATH_INFO", "REMOTE_ADDR"):
        answer = ask(server, "/api/users/me", ada, headers={name: "/evil"})
        assert (answer.status, answer.json()["username"]) == (200, "ada"), name


def test_a_trailer_is_no_header(server, ada):
    token = request("/", ada).split(b"Authorization: ")[1].split(b"\r\n")[0]
    head = request(
        "/api/users/me", method="PATCH", headers={"Transfer-Encoding": "chunked", **JSON}
    )
    with connect(server, head + b"2\r\n{}\r\n0\r\nAuthorization: " + token + b"\r\n\r\n") as raw:
        assert raw.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_pipelined_requests_are_answered_in_order(server, ada):
    with connect(
        server, request("/healthz", headers={"Connection": ""}) + request("/api/users/me", ada)
    ) as raw:
        answers = b""
        while b'"username"' not in answers:
            answers += raw.recv(65536)
    assert answers.index(b'"status": "ok"') < answers.index(b'"username"')


def test_clients_that_do_not_read_their_answers_stop_no_other_user(server, ada):
    unread = [connect(server) for _ in range(16)]
    for raw in unread:
        raw.sendall(request("/swagger.json", headers={"Connection": "keep-alive"}) * 20)
    assert_quick(server, ada)
    for raw in unread:
        raw.close()


@pytest.mark.parametrize("host", ["10.1.2.3", "10.1.2.3:8000", "[fd00::7]", "[fd00::7]:8000"])
def test_liveness_is_answered_by_any_address_and_nothing_else_is(server, host):
    for path, status in (("/healthz", b"200"), ("/swagger/", b"400")):
        with connect(server, request(path, headers={"Host": host, "Connection": "close"})) as raw:
            assert received(raw).startswith(b"HTTP/1.1 " + status), path
