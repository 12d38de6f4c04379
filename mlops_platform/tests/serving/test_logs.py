"""Logs: one JSON object a line, with the ids to follow and without secrets."""

import json
import logging
import uuid

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pythonjsonlogger.json import JsonFormatter

from mlops_platform import logs
from mlops_platform.api.throttling.addresses import client_address


class Lines(logging.Handler):
    """Keeps what the platform's own handler would have written, as objects."""

    def __init__(self) -> None:
        super().__init__()
        wanted = {k: v for k, v in logs.LOGGING["formatters"]["json"].items() if k != "()"}
        self.setFormatter(JsonFormatter(**wanted))
        self.addFilter(logs.ContextFilter())
        self.objects: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.objects.append(json.loads(line))


@pytest.fixture
def lines():
    handler = Lines()
    logging.root.addHandler(handler)
    level = logging.root.level
    logging.root.setLevel(logging.DEBUG)
    yield handler.objects
    logging.root.removeHandler(handler)
    logging.root.setLevel(level)


def answer_with(status: int):
    def view(request: HttpRequest) -> HttpResponse:
        logging.getLogger("a.view").info("inside")
        return HttpResponse(status=status)

    return logs.RequestIdMiddleware(view)


def test_a_request_gets_one_line_and_its_id_is_on_all_of_them(lines, rf: RequestFactory) -> None:
    response = answer_with(201)(rf.post("/api/orgs/create?secret=1", {"password": "hidden"}))
    inside, about = lines
    assert inside["request_id"] == about["request_id"] == response["X-Request-ID"]
    assert about["level"] == "INFO"
    assert (about["method"], about["path"], about["status"]) == ("POST", "/api/orgs/create", 201)
    assert about["ms"] >= 0
    assert "secret" not in json.dumps(lines)
    assert "hidden" not in json.dumps(lines)


@pytest.mark.parametrize("given", ["a", "3f2c-11_x:y.z", "x" * 64])
def test_a_sane_id_of_the_callers_is_kept(lines, rf: RequestFactory, given: str) -> None:
    response = answer_with(200)(rf.get("/", headers={"X-Request-ID": given}))
    assert response["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\nb", "ä", '"', "a\r\nSet-Cookie: b=c"])
def test_any_other_id_is_replaced(lines, rf: RequestFactory, given: str) -> None:
    response = answer_with(200)(rf.get("/", headers={"X-Request-ID": given}))
    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


def test_the_id_ends_with_the_request(lines, rf: RequestFactory) -> None:
    answer_with(200)(rf.get("/"))
    assert logs.request_id.get() is None


@pytest.mark.parametrize("path", ["/healthz", "/readyz/", "/metrics"])
def test_what_machines_ask_all_the_time_is_not_news(lines, rf: RequestFactory, path: str) -> None:
    answer_with(200)(rf.get(path))
    assert lines[-1]["level"] == "DEBUG"


def test_a_cycles_id_is_on_its_lines_only(lines) -> None:
    log, cycle = logging.getLogger("scheduler"), uuid.uuid4()
    with logs.bind_cycle(cycle):
        log.info("planned")
    log.info("later")
    planned, later = lines
    assert planned["cycle_id"] == str(cycle)
    assert "cycle_id" not in later


def test_djangos_own_lines_show_no_query_string(lines, rf: RequestFactory) -> None:
    request = rf.get("/?token=hidden")
    logging.getLogger("django.request").error("Bad", extra={"request": request, "status_code": 500})
    assert "hidden" not in json.dumps(lines)


def test_a_line_break_in_a_path_stays_in_its_line(lines, rf: RequestFactory) -> None:
    answer_with(404)(rf.get("/a%0Ab"))
    assert lines[-1]["path"] == "/a\nb"


@pytest.mark.django_db
def test_a_known_caller_is_named_without_another_query(
    lines, client: Client, django_user_model, django_assert_num_queries
) -> None:
    user = django_user_model.objects.create_user(username="ada", password="Not-a-real-one-1")
    client.force_login(user)
    with django_assert_num_queries(0):
        client.get("/there/is/nothing/here")
    assert [line["user_id"] for line in lines if "path" in line] == [None]
    client.get("/admin/")
    assert [line["user_id"] for line in lines if "path" in line] == [None, str(user.pk)]


def test_a_line_names_the_clients_address(lines, rf: RequestFactory, client: Client) -> None:
    answer_with(200)(rf.get("/", REMOTE_ADDR="192.0.2.7"))
    assert lines[-1]["client"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "192.0.2.7"),
        (1, "", "192.0.2.7"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, "not\x1b[31man address", "192.0.2.7"),
    ],
)
def test_the_address_is_the_one_before_our_proxies(settings, proxies, forwarded, address) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    assert client_address("192.0.2.7", forwarded) == address


def plain(message: str, *arguments: object) -> str:
    wanted = {k: v for k, v in logs.LOGGING["formatters"]["plain"].items() if k != "()"}
    record = logging.LogRecord("a", logging.INFO, "", 0, message, arguments, None)
    return logs.PlainFormatter(**wanted).format(record)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a\nI mlops_platform: forged", "/a\\nI mlops_platform: forged"),
        ("/\x1b[2J\x9b\x07", "/\\x1b[2J\\x9b\\x07"),
        ("/\u202egpj", "/\\u202egpj"),
        ("/\u2028", "/\\u2028"),
        ("/ä ö", "/ä ö"),
    ],
)
def test_control_characters_stay_out_of_plain_lines(path: str, shown: str) -> None:
    assert plain("GET %s", path) == f"I a: GET {shown}"


def test_a_trace_keeps_its_lines_in_plain_logs() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        shown = logs.PlainFormatter().formatException((ValueError, error, error.__traceback__))
    assert "\n" in shown
    assert "\x1b" not in shown


@pytest.mark.django_db
def test_an_unknown_host_is_one_line_without_a_trace(client: Client, capfd) -> None:
    handlers, level = logging.root.handlers, logging.root.level
    logs.configure()
    try:
        client.get("/healthz", headers={"Host": "evil.example"})
    finally:
        logging.root.handlers = handlers
        logging.root.setLevel(level)
    shown = capfd.readouterr().err
    assert "evil.example" not in shown
    assert "Traceback" not in shown
