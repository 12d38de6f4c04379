"""How long each migration since the last version makes readers and writers of a large table wait.

`make rehearse` fills the last version's tables with a million deployments and events and a tenth as
many cycles, applies the migrations one after another while a reader and a writer work on the same
rows, and prints for each the longest read and the longest write that met it, and the longest time
that either waited for a lock. As soon as there is a
table of kept output, it is filled too. It starts a PostgreSQL of its own, durable as that of
`make run`.
"""

import argparse
import os
import threading
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.servers import platform

REPOSITORY = Path(__file__).resolve().parent.parent
ACCEPTED = REPOSITORY / ".ci" / "accepted_migrations.toml"
QUIET_S = 5.0  # of reads and writes without any migration, to compare with
SETTLE_S = 0.5
HISTORY = 0.98  # of all deployments: those that have ended
MILLION = 1_000_000
BATCH = 100_000
CYCLES_SHARE = OUTPUTS_SHARE = 0.1
CYCLE_BYTES, OUTPUT_BYTES = 2048, 4096
TABLE, EVENTS = "deployments_deployment", "deployments_deploymentevent"
CYCLES, OUTPUTS = "scheduler_schedulingcycle", "deployments_deploymentlog"
MAKES_OUTPUTS = "deployments.0005_runtimes"


class Call(NamedTuple):
    began: float  # time.monotonic()
    ended: float


_LOCK_WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE NOT l.granted AND a.application_name = %s
"""
NAME = "rehearse"


class User(threading.Thread):
    """Makes one kind of call again and again, and notes how long each took, or what it returns."""

    def __init__(self, act: Callable[[Any], Call | None]) -> None:
        super().__init__(daemon=True)
        self.calls: list[Call] = []
        self.errors = 0
        self._act, self._end = act, threading.Event()

    def run(self) -> None:
        import psycopg2

        session = _session()
        with session.cursor() as cursor:
            while not self._end.wait(0.002):
                began = time.monotonic()
                noted = None
                try:
                    noted = self._act(cursor)
                except psycopg2.Error:
                    self.errors += 1
                self.calls.append(noted or Call(began, time.monotonic()))
        session.close()

    def stop(self) -> None:
        self._end.set()
        self.join()

    def longest_ms(self, began: float, ended: float) -> float:
        met = (each for each in self.calls if each.ended > began and each.began < ended)
        return max((1000 * (each.ended - each.began) for each in met), default=0.0)


def make_last_version(rows: int) -> None:
    """The last version's tables, filled."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    released = tomllib.loads(ACCEPTED.read_text())["released"]
    names = sorted(each.split(".") for version in released.values() for each in version)
    ours = {app: name for app, name in names}  # noqa: C416 - of each app the last one stays
    executor = MigrationExecutor(connection)
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in ours]
    targets = [
        *ours.items(),
        *(node for node in others if node[0] not in {"otp_totp", "otp_static"}),
    ]
    executor.migrate(targets)
    old = MigrationExecutor(connection).loader.project_state(targets).apps
    _fill(old, rows)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _fill(old: Any, rows: int) -> None:
    """One deployment of each kind by the models of that version, then copies of them in SQL."""
    model = old.get_model
    owner = model("accounts", "User").objects.create(username="bench")
    organization = model("organizations", "Organization").objects.create(name="Bench")
    sizes = {"total_cpu_milli": 10**9, "total_ram_mib": 10**9, "total_gpu": 10**6}
    cluster = model("clusters", "Cluster").objects.create(
        organization=organization, name="bench", **sizes
    )
    low = model("deployments", "PriorityClass").objects.create(name="LOW", value=0)
    common = {"cluster": cluster, "owner": owner, "priority_class": low, "image": "train"}
    common |= {"cpu_milli": 4000, "ram_mib": 16384, "gpu": 1, "scheduling_key": "LOW/4000/16384/1"}
    common |= {"command": ["python", "train.py"], "args": ["--epochs", "10"], "env": {"SEED": "42"}}
    for status, share in {"COMPLETED": HISTORY, "QUEUED": 1 - HISTORY}.items():
        deployment = model("deployments", "Deployment").objects.create(
            status=status, name="train-resnet", **common
        )
        _copy(TABLE, deployment.pk, int(rows * share), {"id": "uuidv7()"})
    event = model("deployments", "DeploymentEvent").objects.create(
        deployment=deployment, type="SUBMITTED"
    )
    identity = "nextval(pg_get_serial_sequence('deployments_deploymentevent', 'id'))"
    _copy(EVENTS, event.pk, rows, {"id": identity})
    counts = ["load_ms", "plan_ms", "apply_ms"]
    counts += [f"{each}_count" for each in ("evaluated", "started", "evicted", "waiting")]
    cycle = model("scheduler", "SchedulingCycle").objects.create(
        cluster=cluster,
        trigger="SUBMITTED",
        engine_version="0",
        snapshot=os.urandom(CYCLE_BYTES),
        plan=os.urandom(CYCLE_BYTES),
        **dict.fromkeys(counts, 1),
    )
    _copy(CYCLES, cycle.pk, int(rows * CYCLES_SHARE), {"id": "uuidv7()"})


def _fill_outputs(rows: int) -> None:
    """Of the newest deployments, one each. Their columns are those of the table's first form."""
    with _session() as session, session.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {OUTPUTS} (deployment_id, attempt, replica, output) "
            f"SELECT id, 1, 0, %s FROM {TABLE} ORDER BY id DESC LIMIT %s",
            [os.urandom(OUTPUT_BYTES), int(rows * OUTPUTS_SHARE)],
        )
        cursor.execute(f"ANALYZE {OUTPUTS}")


def _copy(table: str, key: Any, count: int, fresh: dict[str, str]) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
        columns = [column.name for column in described]
        values = ", ".join(fresh.get(column, f'"{column}"') for column in columns)
        names = ", ".join(f'"{column}"' for column in columns)
        insert = (
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {table}, "
            "generate_series(1, %s) WHERE id = %s"
        )
        for done in range(0, count, BATCH):
            cursor.execute(insert, [min(BATCH, count - done), key])


def _session() -> Any:
    import psycopg2

    session = psycopg2.connect(os.environ["DATABASE_URL"], application_name=NAME)
    session.autocommit = True
    return session


def read(cursor: Any) -> None:
    cursor.execute(f"SELECT id, status FROM {TABLE} ORDER BY id DESC LIMIT 20")
    cursor.execute(f"SELECT id FROM {EVENTS} ORDER BY id DESC LIMIT 20")
    cursor.execute(f"SELECT id, trigger FROM {CYCLES} ORDER BY id DESC LIMIT 20")
    if _outputs_are_there(cursor):
        cursor.execute(f"SELECT output FROM {OUTPUTS} ORDER BY id DESC LIMIT 1")
    cursor.fetchall()


def write(cursor: Any) -> None:
    newest = f"(SELECT id FROM {TABLE} ORDER BY id DESC LIMIT 1)"
    cursor.execute(f"UPDATE {TABLE} SET reason_code = 'X' WHERE id = {newest}")
    cursor.execute(
        f"INSERT INTO {EVENTS} (deployment_id, at, type, details) "
        f"SELECT id, now(), 'CHANGED', '{{}}' FROM {TABLE} ORDER BY id DESC LIMIT 1"
    )
    for table, column in ((CYCLES, "waiting_count"), (OUTPUTS, "replica")):
        if table == OUTPUTS and not _outputs_are_there(cursor):
            continue
        newest = f"(SELECT id FROM {table} ORDER BY id DESC LIMIT 1)"
        cursor.execute(f"UPDATE {table} SET {column} = {column} WHERE id = {newest}")


def longest_lock_wait(cursor: Any) -> Call:
    """What else makes a read or a write long is the machine."""
    cursor.execute(_LOCK_WAITS, [NAME])
    (waited_s,) = cursor.fetchone()
    ended = time.monotonic()
    return Call(ended - float(waited_s), ended)


def _outputs_are_there(cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass(%s)", [OUTPUTS])
    return cursor.fetchone()[0] is not None


def measure(rows: int) -> None:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    print(f"Making the last version's tables with {rows:,} deployments ...", flush=True)
    make_last_version(rows)
    reader, writer = User(read), User(write)
    users = reader, writer, User(longest_lock_wait)
    for user in users:
        user.start()
    began = time.monotonic()
    heads = f"{'longest read':>13} {'longest write':>13} {'for a lock':>13}"
    print(f"{'migration':45} {'took':>9} {heads}")

    def show(name: str) -> None:
        ended = time.monotonic()
        time.sleep(SETTLE_S)  # until the calls that met it have ended
        longest = " ".join(f"{user.longest_ms(began, ended):10.0f} ms" for user in users)
        print(f"{name:45} {ended - began:7.2f} s {longest}", flush=True)

    def note(action: str, migration: Any = None, fake: bool = False) -> None:
        nonlocal began
        if action == "apply_start":
            began = time.monotonic()
        elif action == "apply_success":
            show(str(migration))
            if str(migration) == MAKES_OUTPUTS:
                _fill_outputs(rows)

    time.sleep(QUIET_S)
    show("none, to compare with")
    executor = MigrationExecutor(connection, progress_callback=note)
    try:
        executor.migrate(executor.loader.graph.leaf_nodes())
    finally:
        for user in users:
            user.stop()
    print(f"{reader.errors} reads and {writer.errors} writes failed.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=MILLION)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with platform(migrated=False):
        measure(options.rows)


if __name__ == "__main__":
    main()
