"""How the tables are stored: which indexes there are, and which updates spare them."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from clusters.models import Cluster, Node
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, QueueAllowance
from deployments.tests.workloads import make

OURS = ("accounts", "organizations", "clusters", "deployments", "scheduler")
OF_DJANGO = {"accounts_user_groups", "accounts_user_user_permissions"}
COVERED = """
SELECT t.relname, i.relname, o.relname
  FROM pg_index a
  JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid
  JOIN pg_class t ON t.oid = a.indrelid
  JOIN pg_class i ON i.oid = a.indexrelid
  JOIN pg_class o ON o.oid = b.indexrelid
 WHERE t.relname = ANY(%s) AND NOT a.indisunique AND 0 <> ALL(a.indkey::int2[])
   AND pg_get_expr(a.indpred, a.indrelid)
       IS NOT DISTINCT FROM pg_get_expr(b.indpred, b.indrelid)
   AND (a.indkey::int2[])[0:a.indnkeyatts - 1] = (b.indkey::int2[])[0:a.indnkeyatts - 1]
"""


def test_no_index_has_only_the_first_columns_of_another(db: None) -> None:
    """Those of patterns (`LIKE`), which Django adds to unique texts, are among them."""
    models = [model for label in OURS for model in apps.get_app_config(label).get_models()]
    tables = {model._meta.db_table for model in models}
    tables |= {field.m2m_db_table() for model in models for field in model._meta.local_many_to_many}
    with connection.cursor() as cursor:
        cursor.execute(COVERED, [sorted(tables - OF_DJANGO)])
        assert cursor.fetchall() == []


def test_each_foreign_key_leads_an_index(db: None) -> None:
    """Else the deletion of what it points to would read the whole table."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.conrelid::regclass::text, a.attname
              FROM pg_constraint c
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
             WHERE c.contype = 'f' AND c.conrelid::regclass::text ~ %s
               AND NOT EXISTS (
                   SELECT FROM pg_index i
                    WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]
                      AND (i.indpred IS NULL
                           OR pg_get_expr(i.indpred, i.indrelid)
                              = format('(%%I IS NOT NULL)', a.attname)))
            """,
            [f"^({'|'.join(OURS)})_"],
        )
        assert cursor.fetchall() == []


@pytest.mark.django_db(transaction=True)
def test_counters_change_without_touching_an_index(cluster: Any, org: Any, dev: Any) -> None:
    """Their updates are HOT, also where all rows of full pages change at once."""
    clusters = [make_cluster(org, name=f"c{number}") for number in range(60)]
    Node.objects.bulk_create(
        Node(cluster=cluster, name=f"n{number}", cpu_milli=1000, ram_mib=1000, gpu=8)
        for number in range(200)
    )
    QueueAllowance.objects.bulk_create(
        QueueAllowance(cluster=each, most=100, remaining=100, counted_at=timezone.now())
        for each in clusters
    )
    updates: list[tuple[Any, dict[str, Any]]] = [
        (Cluster, {"allocated_gpu": 1, "evaluated_at": timezone.now()}),
        (Node, {"allocated_gpu": 1}),
        (QueueAllowance, {"remaining": 99}),
    ]
    for model, columns in updates:
        before = _updates_of(model)
        changed = model.objects.update(**columns)
        assert tuple(after - b for after, b in zip(_updates_of(model), before, strict=True)) == (
            changed,
            changed,
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "columns",
    [
        {"reason_details": {"image": "train"}},
        {"checkpoint_at": Now()},
        {"stop_told_at": Now()},
        {"placement": [{"replicas": 1}]},
    ],
    ids=["reason's details", "checkpoint", "stop sent", "placement"],
)
def test_a_deployment_that_keeps_its_status_changes_without_touching_an_index(
    cluster: Any, dev: Any, columns: dict[str, Any]
) -> None:
    """But for the code of its reason, by which lists are filtered."""
    row = make(cluster, dev)
    before = _updates_of(Deployment)
    Deployment.objects.filter(pk=row.pk).update(**columns)
    after = _updates_of(Deployment)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def _updates_of(model: Any) -> tuple[int, int]:
    """All updates of the table so far, and the HOT ones."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s",
            [model._meta.db_table],
        )
        [found] = cursor.fetchall()
    return found
