"""A session that keeps all rows of one organization locked."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from psycopg2.errors import LockNotAvailable

from mlops_platform.tests.equipment.row_locks import all_locked
from mlops_platform.tests.equipment.world import World
from mlops_platform.tests.input.matrix import filled

# As by an UPDATE that is not committed, and as by a DELETE.
UPDATED, DELETED = "FOR NO KEY UPDATE", "FOR UPDATE"
_ORG = "organization_id = '{organization_id}'"
_OF_CLUSTER = f"cluster_id IN (SELECT id FROM clusters_cluster WHERE {_ORG})"
_OF_WEBHOOK = f"webhook_id IN (SELECT id FROM deployments_webhook WHERE {_ORG})"
_MEMBERS = f"IN (SELECT user_id FROM organizations_membership WHERE {_ORG})"
# The organization's rows, by table.
_ROWS = {
    "organizations_organization": "id = '{organization_id}'",
    "organizations_membership": _ORG,
    "organizations_invitecode": _ORG,
    "organizations_ban": _ORG,
    "organizations_invitation": _ORG,
    "organizations_secret": f"{_ORG} OR person_id {_MEMBERS}",
    "deployments_webhook": _ORG,
    "deployments_webhookdelivery": _OF_WEBHOOK,
    "accounts_user": f"id {_MEMBERS}",
    "accounts_apikey": f"user_id {_MEMBERS}",
    "accounts_login": f"user_id {_MEMBERS}",
    "deployments_price": _ORG,
    "clusters_cluster": _ORG,
    "clusters_node": _OF_CLUSTER,
    "clusters_quota": _OF_CLUSTER,
    "clusters_registry": _OF_CLUSTER,
    "deployments_deployment": _OF_CLUSTER,
}


@contextmanager
def organization_locked(world: World, how: str) -> Iterator[None]:
    with all_locked(
        f"SELECT 1 FROM {table} WHERE {filled(where, world.ids)} {how}"
        for table, where in _ROWS.items()
    ):
        yield


@contextmanager
def waits_in_vain() -> Iterator[list[str]]:
    """The statements of the block that have waited for a lock as long as they may."""
    found: list[str] = []

    def note(execute, sql, params, many, context):
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                found.append(sql)
            raise

    with connection.execute_wrapper(note):
        yield found
