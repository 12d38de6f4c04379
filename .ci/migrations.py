"""Checks that each migration is safe on a live table of a million rows, and that processes of the
version before go on working on the new schema.

    .ci/migrations.py            all migrations that no version has released

Squawk judges the SQL. Rules that it has not, or that SQL does not show, are in RULES below. Of what
Django's own operations do, the schema editor (django-pg-zero-downtime-migrations) makes the safe
form by itself: indexes CONCURRENTLY, constraints NOT VALID and then validated.
`.ci/accepted_migrations.toml` names the exceptions, each with its reason.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")

import django  # noqa: E402  # after the path to the project
import sqlparse  # noqa: E402
from django.apps import apps  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.postgres.operations import AddConstraintNotValid  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.migrations import Migration, RunPython  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from django.db.migrations.state import ProjectState  # noqa: E402

from mlops_platform import embedded  # noqa: E402

ACCEPTED = Path(__file__).with_name("accepted_migrations.toml")
SQUAWK = Path(sys.executable).with_name("squawk")
POSTGRESQL = "18"
# Of matters of taste, and of what each connection of `manage.py` sets anyway (lock_timeout).
NOT_OURS = (
    *("prefer-robust-stmts", "prefer-bigint-over-int", "prefer-bigint-over-smallint"),
    *("prefer-identity", "prefer-text-field", "ban-char-field", "identifier-too-long"),
    *("require-timeout-settings", "require-lock-timeout", "require-statement-timeout"),
)
RULES = {
    "check-in-add-column": (
        r"ADD COLUMN [^;]*\bCHECK\b",
        "ADD COLUMN with CHECK reads the whole table while no other session may: "
        "use mlops_platform.database.migrations.AddFieldThenCheck",
    ),
    "set-not-null": (
        r"ALTER COLUMN \S+ SET NOT NULL",
        "processes of the version before may still write NULL: first a database default, and NOT "
        "NULL in the version after",
    ),
}
FOREIGN_KEY = re.compile(r'ALTER TABLE "(\w+)" ADD CONSTRAINT "\w+" FOREIGN KEY')
DROPPED_KEY = re.compile(r'ALTER TABLE "(\w+)" DROP CONSTRAINT "\w+_fk_\w+"')
WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE"}


def problems(migration: Migration, state: ProjectState) -> Iterator[tuple[str, str]]:
    """(rule, sentence) for each; `state` is that before the migration."""
    if any(isinstance(each, AddConstraintNotValid) for each in migration.operations):
        yield "add-constraint-not-valid", "AddConstraint does so by itself, and validates it"
        return
    with warnings.catch_warnings(record=True) as unsafe:
        warnings.simplefilter("always")
        with connection.schema_editor(collect_sql=True, atomic=False) as editor:
            migration.apply(state, editor, collect_sql=True)
    for warning in unsafe:
        yield "unsafe-operation", str(warning.message).splitlines()[0]
    statements = [sqlparse.format(each, strip_comments=True) for each in editor.collected_sql]
    statements = [each.strip() for each in statements if each.strip()]
    statements = list(_without_renewed_keys(statements))
    yield from _of_squawk("\n".join(statements))
    for rule, (pattern, sentence) in RULES.items():
        if any(re.search(pattern, each, re.IGNORECASE) for each in statements):
            # The schema editor sets NOT NULL only after it has validated a constraint.
            yield rule, sentence
    yield from _of_backfills(migration, statements)


def _without_renewed_keys(statements: list[str]) -> Iterator[str]:
    """Without the drops of foreign keys that the migration makes anew. Where a column changes,
    Django does so with those that it finds in the database."""
    renewed = {match[1] for each in statements if (match := FOREIGN_KEY.search(each))}
    for each in statements:
        dropped = DROPPED_KEY.search(each)
        if dropped is None or dropped[1] not in renewed:
            yield each


def _of_squawk(sql: str) -> Iterator[tuple[str, str]]:
    options = ["--reporter=json", f"--pg-version={POSTGRESQL}", "--stdin-filepath=migration.sql"]
    done = subprocess.run(
        [SQUAWK, *options, f"--exclude={','.join(NOT_OURS)}", f"--config={os.devnull}"],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1} or not done.stdout:
        raise RuntimeError(f"squawk failed: {done.stderr}")
    for found in json.loads(done.stdout):
        yield found["rule_name"], found["message"]


def _of_backfills(migration: Migration, statements: list[str]) -> Iterator[tuple[str, str]]:
    backfills = [each for each in migration.operations if isinstance(each, RunPython)]
    if any(sqlparse.parse(each)[0].get_type() in WRITES for each in statements):
        yield "backfill-at-once", "rows are written by one statement: write them in batches"
    if any(each.atomic or (each.atomic is None and migration.atomic) for each in backfills):
        yield (
            "backfill-in-one-transaction",
            "all rows stay locked until the last is written: atomic = False, and a transaction for "
            "each batch",
        )
    if backfills and statements:
        yield (
            "backfill-beside-schema",
            "rows are written in the migration that changes the schema: give it one of its own",
        )


def main() -> int:
    django.setup()
    accepted: dict[str, Any] = tomllib.loads(ACCEPTED.read_text())
    released = {name for names in accepted["released"].values() for name in names}
    excused: dict[str, dict[str, str]] = accepted["accepted"]
    loader = MigrationLoader(None)
    ours = {each.label for each in apps.get_app_configs() if _is_ours(each.path)}
    nodes = {f"{app}.{name}": (app, name) for app, name in loader.disk_migrations if app in ours}
    found, used = [], set()
    for label, node in sorted(nodes.items()):
        if label in released:
            continue
        state = loader.project_state([node], at_end=False)
        for rule, sentence in problems(loader.get_migration(*node), state):
            if rule in excused.get(label, {}):
                used.add((label, rule))
            else:
                found.append(f"{label}: {rule}: {sentence}")
    found += [f"{label}: released, but not there" for label in sorted(released - set(nodes))]
    found += [
        f"{label}: {rule}: accepted, but not found"
        for label, rules in excused.items()
        for rule in rules
        if (label, rule) not in used
    ]
    print("\n".join(found) or f"{len(nodes) - len(released)} migrations since the last version")
    return 1 if found else 0


def _is_ours(path: str) -> bool:
    return Path(path).parent == settings.BASE_DIR


if __name__ == "__main__":
    with embedded.services_for_environment():
        sys.exit(main())
