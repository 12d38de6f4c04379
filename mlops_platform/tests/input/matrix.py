"""The table of access: for each call a valid request and the status that each person gets.

`answers` are the statuses for a caller without a token, a stranger (ADMIN of another organization),
a VIEWER, a DEVELOPER and an ADMIN. Ids in a request and a path are placeholders such as
`{cluster_id}`; the tests fill in those of equipment/world.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    call: str
    answers: tuple[int, int, int, int, int]
    body: Body | None = None
    query: str = ""
    writes: bool = True
    """Whether the call changes anything where it is no GET and not refused."""

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.call.partition(" ")[2]

    def filled_body(self, ids: Mapping[str, str]) -> Any:
        """The body with those ids; None where the call takes no body."""
        return None if self.body is None else filled(self.body, ids)


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """The same value with every placeholder such as `{cluster_id}` replaced."""
    if isinstance(value, Mapping):
        return {name: filled(inner, ids) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    return value.format(**ids) if isinstance(value, str) else value


OPEN = (200, 200, 200, 200, 200)
ANY_USER = (401, 200, 200, 200, 200)
READ = (401, 404, 200, 200, 200)

USER = {"username": "grace", "password": "correct-horse-battery"}
CLUSTER: Body = {
    "name": "east",
    "organization_id": "{organization_id}",
    "total_cpu": 2.5,
    "total_ram": 1024,
    "total_gpu": 0,
    "policy": {"queueing": "strict", "placement": "spread", "preempt_exempt_s": 5},
    "runtime": "simulated",
}
DEPLOYMENT: Body = {
    "cluster_id": "{cluster_id}",
    "image": "registry.example.com:5000/team/train:1.2",
    "required_cpu": 0.5,
    "required_ram": 512,
    "required_gpu": 1,
    "priority": "high",
    "name": "train",
    "command": ["python"],
    "args": ["train.py", ""],
    "env": {"SEED": "42"},
    "secrets": [{"name": "{secret_name}", "env": "TOKEN", "scope": "organization"}],
    "kind": "job",
    "replicas": 1,
    "node_selector": {"zone": "b"},
    "shm_mib": 64,
    "ephemeral_mib": 1024,
    "volumes": [{"name": "datasets", "path": "/data", "read_only": True, "sub_path": "a/b"}],
    "max_runtime_s": 3600,
    "simulated_runtime_s": 60,
    "grace_s": 0,
    "max_retries": 3,
    "retry_on": [75, "100-120", "OUT_OF_MEMORY"],
    "fail_on": ["2"],
    "retry_ram_factor": 1.5,
    "retry_ram_limit": 4096,
    "on_preempt": "fail",
    "readiness": {"kind": "http", "port": 8080, "path": "/ready"},
    "depends_on": ["{deployment_id}"],
}
NODE: Body = {
    "name": "node-2",
    "cpu": 2.5,
    "ram": 1024,
    "gpu": 0,
    "labels": {"zone": "c", "x/y": ""},
}
WEBHOOKS = "/api/orgs/{organization_id}/webhooks"
DELIVERIES = f"{WEBHOOKS}/{{webhook_id}}/deliveries"
WEBHOOK: Body = {
    "url": "https://192.0.2.7/mlops",
    "format": "standard",
    "events": ["FAILED", "NODE_AWAY"],
}
REGISTRIES = "/api/clusters/{cluster_id}/registries"
REGISTRY: Body = {"host": "Docker.IO", "username": "robot", "password": " of the robot "}
VOLUMES = "/api/clusters/{cluster_id}/volumes"
VOLUME: Body = {
    "name": "checkpoints",
    "kind": "PVC",
    "source": {"size_mib": 1024, "storage_class": "fast", "access_mode": "ReadWriteOnce"},
    "read_only": False,
    "node_names": ["node-1"],
    "node_selector": {"zone": "b"},
}
WINDOWS = "/api/clusters/{cluster_id}/windows"
WINDOW: Body = {
    "begins_at": 3600,
    "ends_at": 7200,
    "mode": "now",
    "reason": "new disks",
    "node_names": ["node-1"],
    "node_selector": {"zone": "b"},
    "dry_run": False,
}
NODES = "/api/clusters/{cluster_id}/nodes"
QUOTAS = "/api/clusters/{cluster_id}/quotas"
SECRETS = "/api/orgs/{organization_id}/secrets"
KEYS = "/api/orgs/{organization_id}/keys"
INVITATIONS = "/api/orgs/{organization_id}/invitations"
OWN_SECRETS = "/api/users/me/secrets"
SWEEP: Body = {
    "name": "lr-sweep",
    "parameters": [{"lr": 0.1}],
    "max_parallel": 1,
    "template": {**DEPLOYMENT, "name": "lr-{{lr}}"},
}
OWN_KEYS = "/api/users/me/keys"
RULES: Body = {
    "stop": "own",
    "confirm_evictions": True,
    "restricted": [{"priority": "HIGH", "role": "ADMIN", "members": ["mia"]}],
    "max_preempting_cpu": 2.5,
    "max_preempting_ram": 1024,
    "max_preempting_gpu": 0,
}
SECRET: Body = {"value": " of the robot\n"}
QUOTA: Body = {"max_cpu": 0.5, "max_ram": 1024, "max_gpu": 0}

PRICES: Body = {
    "prices": [
        {"node_labels": {"gpu": "a100"}, "gpu_hour": 2.5, "core_hour": 0.04, "gib_hour": 0},
        {"gpu_hour": 1, "core_hour": 0, "gib_hour": 0},
    ]
}

MATRIX = [
    Row("POST /api/users/register", (201,) * 5, {**USER, "email": "grace@example.org"}),
    Row("POST /api/users/login", OPEN, {**USER, "username": "mia"}),
    Row("POST /api/users/refresh", OPEN, {"refresh_token": "{refresh_token}"}),
    Row("POST /api/users/logout", (205,) * 5, {"refresh_token": "{refresh_token}"}),
    Row("GET /api/users/me", ANY_USER),
    Row(
        "PATCH /api/users/me",
        ANY_USER,
        {"email": "new@example.org", "profile": {"display_name": "G", "timezone": "Asia/Tokyo"}},
    ),
    Row(
        "POST /api/users/me/password",
        ANY_USER,
        {"old_password": "correct-horse-battery", "new_password": "wrong-zebra-accumulator"},
    ),
    Row("POST /api/auth/device", (201,) * 5, {"client": "mlops on ada-laptop"}),
    Row("POST /api/auth/device/token", OPEN, {"device_code": "{device_code}"}),
    Row("POST /api/auth/password/reset", (409,) * 5, {"email": "mia@example.org"}),  # no mail
    Row(
        "POST /api/auth/password/reset/confirm",
        (204,) * 5,
        {"token": "{reset_token}", "new_password": "wrong-zebra-accumulator"},
    ),
    Row("POST /api/auth/email/verify", (401, 409, 409, 409, 409), {}),
    Row("POST /api/auth/email/verify/confirm", (204,) * 5, {"token": "{verify_token}"}),
    Row(f"GET {OWN_KEYS}", ANY_USER),
    Row(
        f"POST {OWN_KEYS}",
        (401, 201, 201, 201, 201),
        {"name": "nightly", "scope": "submit", "expires_in_s": 3600},
    ),
    Row(f"GET {OWN_KEYS}/{{own_key_name}}", ANY_USER),
    Row(f"DELETE {OWN_KEYS}/{{own_key_name}}", (401, 204, 204, 204, 204)),
    Row("POST /api/orgs/create", (401, 201, 201, 201, 201), {"name": "Difference Engines"}),
    Row("POST /api/orgs/join", (401, 200, 409, 409, 409), {"invite_code": "{invite_code}"}),
    Row("GET /api/orgs/all", ANY_USER),
    Row("GET /api/orgs/my", ANY_USER),
    Row("GET /api/orgs/{organization_id}", READ),
    Row("PATCH /api/orgs/{organization_id}", (401, 404, 403, 403, 200), {"name": "Looms"}),
    Row("DELETE /api/orgs/{organization_id}", (401, 404, 403, 403, 409)),
    Row("DELETE /api/orgs/{organization_id}", (401, 404, 403, 403, 204), query="?force=true"),
    Row("POST /api/orgs/{organization_id}/leave", (401, 404, 204, 204, 409), {}),
    Row("GET /api/orgs/{organization_id}/members", READ),
    Row(
        "PATCH /api/orgs/{organization_id}/members/{user_id}",
        (401, 404, 403, 403, 200),
        {"role": "DEVELOPER"},
    ),
    Row("DELETE /api/orgs/{organization_id}/members/{user_id}", (401, 404, 403, 403, 204)),
    Row(
        "POST /api/orgs/{organization_id}/invite-codes",
        (401, 404, 403, 403, 201),
        {"role": "VIEWER", "expires_in_s": 3600, "max_uses": 5},
    ),
    Row("GET /api/orgs/{organization_id}/rules", READ),
    Row("PATCH /api/orgs/{organization_id}/rules", (401, 404, 403, 403, 200), RULES),
    Row(f"GET {INVITATIONS}", (401, 404, 403, 403, 200)),
    Row(
        f"POST {INVITATIONS}",
        (401, 404, 403, 403, 201),
        {"role": "DEVELOPER", "expires_in_s": 3600, "max_uses": 1, "email": "grace@example.org"},
    ),
    Row(f"GET {INVITATIONS}/{{invitation_id}}", (401, 404, 403, 403, 200)),
    Row(f"DELETE {INVITATIONS}/{{invitation_id}}", (401, 404, 403, 403, 204)),
    Row("GET /api/orgs/{organization_id}/events", READ),
    Row("GET /api/orgs/{organization_id}/usage", READ),
    Row(
        "GET /api/orgs/{organization_id}/usage",
        READ,
        query="?from=2026-03-01&group_by=user,day&format=csv",
    ),
    Row("GET /api/orgs/{organization_id}/prices", READ),
    Row("PUT /api/orgs/{organization_id}/prices", (401, 404, 403, 403, 200), PRICES),
    Row("DELETE /api/orgs/{organization_id}/prices", (401, 404, 403, 403, 204)),
    Row("GET /api/orgs/{organization_id}/bans", (401, 404, 403, 403, 200)),
    Row("DELETE /api/orgs/{organization_id}/bans/{banned_user_id}", (401, 404, 403, 403, 204)),
    Row(f"GET {WEBHOOKS}", (401, 404, 403, 403, 200)),
    Row(f"POST {WEBHOOKS}", (401, 404, 403, 403, 201), WEBHOOK),
    Row(f"GET {WEBHOOKS}/{{webhook_id}}", (401, 404, 403, 403, 200)),
    Row(
        f"PATCH {WEBHOOKS}/{{webhook_id}}",
        (401, 404, 403, 403, 200),
        {**WEBHOOK, "enabled": False},
    ),
    Row(f"DELETE {WEBHOOKS}/{{webhook_id}}", (401, 404, 403, 403, 204)),
    Row(f"POST {WEBHOOKS}/{{webhook_id}}/test", (401, 404, 403, 403, 201), {}),
    Row(f"GET {DELIVERIES}", (401, 404, 403, 403, 200)),
    Row(f"GET {DELIVERIES}/{{delivery_id}}", (401, 404, 403, 403, 200)),
    Row(f"POST {DELIVERIES}/{{delivery_id}}/resend", (401, 404, 403, 403, 200), {}),
    Row(f"GET {KEYS}", (401, 404, 403, 403, 200)),
    Row(
        f"POST {KEYS}",
        (401, 404, 403, 403, 201),
        {"name": "nightly", "role": "DEVELOPER", "expires_in_s": 3600},
    ),
    Row(f"GET {KEYS}/{{key_name}}", (401, 404, 403, 403, 200)),
    Row(f"DELETE {KEYS}/{{key_name}}", (401, 404, 403, 403, 204)),
    Row(f"GET {SECRETS}", (401, 404, 403, 200, 200)),
    Row(f"GET {SECRETS}/{{secret_name}}", (401, 404, 403, 200, 200)),
    Row(f"PUT {SECRETS}/{{secret_name}}", (401, 404, 403, 403, 200), SECRET),
    Row(f"DELETE {SECRETS}/{{secret_name}}", (401, 404, 403, 403, 204)),
    Row(f"DELETE {SECRETS}/{{secret_name}}", (401, 404, 403, 403, 204), query="?force=true"),
    Row(f"GET {SECRETS}/{{secret_name}}/uses", (401, 404, 403, 200, 200)),
    Row(f"GET {OWN_SECRETS}", ANY_USER),
    Row(f"GET {OWN_SECRETS}/{{own_secret_name}}", ANY_USER),
    Row(f"PUT {OWN_SECRETS}/{{own_secret_name}}", ANY_USER, SECRET),
    Row(f"DELETE {OWN_SECRETS}/{{own_secret_name}}", (401, 204, 204, 204, 204)),
    Row(f"GET {OWN_SECRETS}/{{own_secret_name}}/uses", ANY_USER),
    Row("GET /api/clusters", ANY_USER),
    Row("POST /api/clusters", (401, 404, 403, 403, 201), CLUSTER),
    Row("GET /api/clusters/{cluster_id}", READ),
    Row(
        "PATCH /api/clusters/{cluster_id}",
        (401, 404, 403, 403, 200),
        {"name": "north", "total_gpu": 1, "state": "paused", "policy": {"max_preemptions": 0}},
    ),
    Row("DELETE /api/clusters/{cluster_id}", (401, 404, 403, 403, 409)),
    Row("DELETE /api/clusters/{cluster_id}", (401, 404, 403, 403, 204), query="?force=true"),
    Row(f"GET {NODES}", READ),
    Row(f"POST {NODES}", (401, 404, 403, 403, 201), NODE),
    Row(f"GET {NODES}/{{node_id}}", READ),
    Row(f"PATCH {NODES}/{{node_id}}", (401, 404, 403, 403, 200), {**NODE, "gpu": 1}),
    Row(f"PATCH {NODES}/{{node_id}}", (401, 404, 403, 403, 409), {"gpu": 0}),
    Row(f"PATCH {NODES}/{{node_id}}", (401, 404, 403, 403, 200), {"gpu": 0}, "?drain=true"),
    Row(f"DELETE {NODES}/{{node_id}}", (401, 404, 403, 403, 409)),
    Row(f"DELETE {NODES}/{{node_id}}", (401, 404, 403, 403, 202), query="?drain=true"),
    Row(f"POST {NODES}/{{node_id}}/cordon", (401, 404, 403, 403, 200), {}),
    Row(f"POST {NODES}/{{node_id}}/uncordon", (401, 404, 403, 403, 200), {}),
    Row(f"POST {NODES}/{{node_id}}/drain", (401, 404, 403, 403, 200), {}),
    Row(f"GET {REGISTRIES}", (401, 404, 403, 403, 200)),
    Row(f"POST {REGISTRIES}", (401, 404, 403, 403, 409), REGISTRY),  # the cluster is simulated
    Row(f"DELETE {REGISTRIES}/{{registry_id}}", (401, 404, 403, 403, 204)),
    Row(f"GET {VOLUMES}", READ),
    Row(f"POST {VOLUMES}", (401, 404, 403, 403, 201), VOLUME),
    Row(f"GET {VOLUMES}/{{volume_id}}", READ),
    Row(f"PATCH {VOLUMES}/{{volume_id}}", (401, 404, 403, 403, 200), {"read_only": True}),
    Row(
        f"PATCH {VOLUMES}/{{volume_id}}",
        (401, 404, 403, 403, 200),
        {name: VOLUME[name] for name in ("source", "node_names", "node_selector")},
    ),
    Row(f"DELETE {VOLUMES}/{{volume_id}}", (401, 404, 403, 403, 204)),
    Row(f"GET {WINDOWS}", READ),
    Row(f"POST {WINDOWS}", (401, 404, 403, 403, 201), WINDOW),
    Row(f"GET {WINDOWS}/{{window_id}}", READ),
    Row(
        f"PATCH {WINDOWS}/{{window_id}}",
        (401, 404, 403, 403, 200),
        {name: value for name, value in WINDOW.items() if name != "dry_run"},
    ),
    Row(f"DELETE {WINDOWS}/{{window_id}}", (401, 404, 403, 403, 204)),
    Row(f"GET {QUOTAS}", READ),
    Row(f"GET {QUOTAS}/default", READ),
    Row(f"PUT {QUOTAS}/default", (401, 404, 403, 403, 200), QUOTA),
    Row(f"DELETE {QUOTAS}/default", (401, 404, 403, 403, 204)),
    Row(f"GET {QUOTAS}/{{user_id}}", READ),
    Row(f"PUT {QUOTAS}/{{user_id}}", (401, 404, 403, 403, 200), QUOTA),
    Row(f"DELETE {QUOTAS}/{{user_id}}", (401, 404, 403, 403, 204)),
    Row("GET /api/clusters/{cluster_id}/status", READ),
    Row("GET /api/clusters/{cluster_id}/utilization", READ),
    Row(
        "GET /api/clusters/{cluster_id}/utilization",
        READ,
        query="?from=2026-03-01T09:00:00Z&to=2026-03-02T09:00:00Z&step=3600",
    ),
    Row("GET /api/clusters/{cluster_id}/deployments", READ),
    Row("GET /api/clusters/{cluster_id}/deployments/counts", READ),
    Row("GET /api/clusters/{cluster_id}/queue", READ),
    Row("GET /api/clusters/{cluster_id}/cycles", READ),
    Row("GET /api/cycles/{cycle_id}", READ),
    Row("GET /api/deployments", ANY_USER),
    Row("GET /api/deployments", ANY_USER, query="?label=team=a&label=b&status=QUEUED,RUNNING"),
    Row("GET /api/deployments", ANY_USER, query="?node={node_id}&fields=id,reason&total=true"),
    Row("GET /api/deployments/counts", ANY_USER, query="?reason=INSUFFICIENT_CAPACITY"),
    Row("GET /api/deployments", ANY_USER, query="?cluster_id={cluster_id}"),
    Row("POST /api/deployments", (401, 404, 403, 201, 201), DEPLOYMENT),
    Row("POST /api/deployments/bulk", (401, 404, 403, 201, 201), {"deployments": [DEPLOYMENT]}),
    Row("POST /api/deployments/quote", (401, 404, 403, 200, 200), DEPLOYMENT, writes=False),
    Row("GET /api/sweeps", ANY_USER),
    Row("POST /api/sweeps", (401, 404, 403, 201, 201), SWEEP),
    Row("POST /api/sweeps", (401, 404, 403, 200, 200), {**SWEEP, "dry_run": True}, writes=False),
    Row("GET /api/sweeps/{sweep_id}", READ),
    Row("PATCH /api/sweeps/{sweep_id}", (401, 404, 403, 200, 200), {"max_parallel": 2}),
    Row("DELETE /api/sweeps/{sweep_id}", (401, 404, 403, 409, 409)),
    Row("POST /api/sweeps/{sweep_id}/stop", (401, 404, 403, 200, 200), {}),
    Row("POST /api/sweeps/{sweep_id}/retry-failed", (401, 404, 403, 200, 200), {}, writes=False),
    Row("GET /api/deployments/{deployment_id}", READ),
    Row("PATCH /api/deployments/{deployment_id}", (401, 404, 403, 200, 200), {"name": "renamed"}),
    Row(
        "POST /api/deployments/{deployment_id}",
        (401, 404, 403, 200, 200),
        {"cluster_id": "{cluster_id}"},
    ),
    Row("DELETE /api/deployments/{deployment_id}", (401, 404, 403, 204, 204)),
    Row("POST /api/deployments/{deployment_id}/stop", (401, 404, 403, 200, 200), {}),
    Row(
        "POST /api/deployments/{deployment_id}/rerun",
        (401, 404, 403, 201, 201),
        {"name": "again", "labels": {"a": "b"}, "env": {"SEED": "1"}},
    ),
    Row(
        "POST /api/deployments/actions",
        ANY_USER,
        {"action": "rerun", "filter": {"name": "train*"}, "dry_run": True},
        writes=False,
    ),
    Row("POST /api/deployments/{deployment_id}/checkpoint", (401, 404, 403, 200, 200), {}),
    Row("GET /api/deployments/{deployment_id}/events", READ),
    Row("GET /api/deployments/{deployment_id}/logs", READ),
    Row("GET /api/deployments/{deployment_id}/peers", READ),
    Row("GET /api/deployments/{deployment_id}/explain", READ),
    Row("GET /", (302,) * 5),
    Row("GET /healthz", OPEN),
    Row("GET /readyz", OPEN),
    Row("GET /metrics", OPEN),
    *(
        Row(f"GET /{name}.{form}", OPEN)
        for name in ("swagger", "openapi")
        for form in ("json", "yaml")
    ),
    Row("GET /swagger/", OPEN),
]

ROWS_OF: dict[str, list[Row]] = {}
"""The rows of each call."""
for _row in MATRIX:
    ROWS_OF.setdefault(_row.call, []).append(_row)

ROW_OF = {call: rows[0] for call, rows in ROWS_OF.items()}
"""The first row of each call."""
