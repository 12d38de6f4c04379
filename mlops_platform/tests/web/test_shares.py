"""The members of an organization together take no more of a web process than their share."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from mlops_platform.tests.equipment.row_locks import all_locked
from mlops_platform.tests.web.asking import Answered, ask, assert_quick, eventually
from organizations.models import Organization, Role
from organizations.tests.people import make_member

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

MEMBERS, AT_ONCE_EACH = 20, 8
TABLE = "clusters_registry"  # all calls that read it wait while it is locked, for two seconds


def waiting_for_the_table() -> int:
    """As many threads of the web process as stand still."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks"
            f" WHERE relation = '{TABLE}'::regclass AND NOT granted"
        )
        [count] = cursor.fetchone()
    return int(count)


class Crowd:
    """Members who send slow calls, each several at a time, as soon as they are answered."""

    def __init__(self, server: str, members: list[User], path: str) -> None:
        self._server, self._members, self._path = server, members, path
        self._stop = threading.Event()
        self.answers: list[Answered] = []

    @contextmanager
    def calling(self) -> Iterator[None]:
        with ThreadPoolExecutor(len(self._members) * AT_ONCE_EACH) as pool:
            for member in self._members * AT_ONCE_EACH:
                pool.submit(self._call_again_and_again, member)
            try:
                yield
            finally:
                self._stop.set()

    def _call_again_and_again(self, member: User) -> None:
        while not self._stop.is_set():
            answer = ask(self._server, self._path, member)
            self.answers.append(answer)
            self._stop.wait(float(answer.headers.get("Retry-After", 0)))


@pytest.fixture
def members(org: Organization) -> list[User]:
    return [make_member(org, f"member-{n}", Role.ADMIN) for n in range(MEMBERS)]


@pytest.mark.parametrize("known", [False, True], ids=["of a new process", "of a known process"])
def test_20_members_with_slow_calls_leave_half_of_the_threads_to_others(
    server: str,
    members: list[User],
    cluster: Cluster,
    sams_org: Organization,
    sam: User,
    known: bool,
) -> None:
    sams = make_cluster(sams_org)
    path, half = f"/api/clusters/{cluster.pk}/registries", settings.WEB_THREADS // 2
    if known:
        for member in members:
            assert ask(server, f"/api/clusters/{cluster.pk}", member).status == 200
        assert ask(server, f"/api/clusters/{sams.pk}", sam).status == 200
    crowd, most = Crowd(server, members, path), 0
    with all_locked([f"LOCK {TABLE} IN ACCESS EXCLUSIVE MODE"]), crowd.calling():
        eventually(lambda: waiting_for_the_table() == half, within_s=60)
        while len(crowd.answers) < 2 * MEMBERS * AT_ONCE_EACH:
            most = max(most, waiting_for_the_table())
            assert_quick(server, sam)
            assert ask(server, f"/api/clusters/{sams.pk}", sam).status == 200
        answers = list(crowd.answers)
    assert most == half
    assert {each.status for each in answers} == {429, 503}
    assert all(int(each.headers["Retry-After"]) > 0 for each in answers)
