"""Submits per second over HTTP, compared with the web stack and the database alone."""

from typing import Any

from psycopg2.extras import Json
from uuid_utils.compat import uuid7

from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result

CLIENTS = (1, 8)
SECONDS = 2.0  # a round of one figure


def measure(rounds: int) -> Result:
    result = Result(
        "submits",
        "Submits a second",
        notes=[
            "Every submit is admitted: the cluster has room, and worker and database have as much "
            "to do with it as with a real one. Bare views: `/healthz` is Django and its middleware "
            "alone, `/api/users/me` adds DRF, the token's check and four reads. The plain INSERT "
            "writes the same row from one connection, a commit each."
        ],
    )
    with Stack() as stack:
        token = client.newcomer(stack.caller())
        owner = stack.caller(token)
        organization = client.organization(owner)
        body = client.workload(client.cluster(owner, organization, "room"))
        views = {
            "GET /healthz": lambda caller: caller.get("/healthz"),
            "GET /api/users/me": lambda caller: caller.get("/api/users/me"),
            "POST /api/deployments": lambda caller: caller.post("/api/deployments", body),
        }
        values: dict[tuple[str, int], list[float]] = {}
        inserts: list[float] = []
        callers = [stack.caller(token) for _ in range(max(CLIENTS))]
        for view in views.values():
            client.per_second(view, callers, 0.5)  # no caller's first call counts
        insert = _Insert(stack)
        for _ in range(rounds):
            for clients in CLIENTS:
                for name, view in views.items():
                    rate = client.per_second(view, callers[:clients], SECONDS)
                    values.setdefault((name, clients), []).append(rate)
            inserts.append(client.per_second(insert, callers[:1], SECONDS))
        insert.undo()
    for (name, clients), measured in values.items():
        label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
        result.add(label, "1/s", measured, reference=not name.startswith("POST"))
    result.add("plain INSERT of the row, 1 connection", "1/s", inserts, reference=True)
    return result


class _Insert:
    """Inserts copies of a submit's row with new ids, in a state that no cycle schedules."""

    def __init__(self, stack: Stack) -> None:
        self._sql = stack.sql().cursor()
        self._sql.execute("SELECT * FROM deployments_deployment ORDER BY id LIMIT 1")
        names = [column.name for column in self._sql.description]
        row: dict[str, Any] = dict(zip(names, self._sql.fetchone(), strict=True))
        row["status"] = "STOPPED"
        self._values = [Json(v) if isinstance(v, dict | list) else v for v in row.values()]
        self._id = names.index("id")
        marks = ", ".join(["%s"] * len(names))
        self._statement = (
            f"INSERT INTO deployments_deployment ({', '.join(names)}) VALUES ({marks})"
        )
        self._ids: list[str] = []

    def __call__(self, _: object) -> None:
        self._values[self._id] = key = str(uuid7())
        self._sql.execute(self._statement, self._values)
        self._ids.append(key)

    def undo(self) -> None:
        self._sql.execute(
            "DELETE FROM deployments_deployment WHERE id = ANY(%s::uuid[])", [self._ids]
        )
