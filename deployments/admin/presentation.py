"""Columns and details of a deployment on the admin pages."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deployments.models import Deployment, DeploymentEvent, EventType, Status
from deployments.queries.deployments import events_of
from deployments.queries.secrets import shown
from deployments.reasons import codes
from mlops_platform.admin.markup import EMPTY, ago, badge, facts, request, to_page
from mlops_platform.api.fields import units

TONES = {
    Status.QUEUED: "waiting",
    Status.STARTING: "busy",
    Status.RUNNING: "good",
    Status.STOPPING: "busy",
    Status.FAILED: "bad",
}
EVENT_TONES = {
    EventType.STARTED: "good",
    EventType.PREEMPTED: "bad",
    EventType.DRAINED: "bad",
    EventType.FAILED: "bad",
}
MOST_EVENTS = 100
CAUSES = (("on", "retry_on"), ("not_on", "fail_on"))  # in the column `retry`, and in the API


def status_badge(status: str) -> SafeString:
    return badge(status, TONES.get(Status(status), "quiet"))


def reason_of(found: dict[str, Any] | None) -> SafeString | str:
    """The reason's sentence and, for searches in logs, its code."""
    if found is None:
        return EMPTY
    return format_html(
        '<span class="reason">{}<span class="reason-code">{}</span></span>',
        found["message"],
        found["code"],
    )


class Columns:
    """The columns of the list, which the page of one deployment has too.

    Rows carry `found_reason` and `found_position` (DeploymentAdmin.prepare).
    """

    @admin.display(description="status")
    def status_now(self, deployment: Deployment) -> SafeString:
        return status_badge(deployment.status)

    @admin.display(description="reason")
    def reason(self, deployment: Any) -> SafeString | str:
        return reason_of(deployment.found_reason)

    @admin.display(description="position")
    def position(self, deployment: Any) -> int | str:
        """The position in the cluster's queues, counted over all classes."""
        found: int | None = deployment.found_position
        return EMPTY if found is None else found

    @admin.display(description="status")
    def status_in_list(self, deployment: Any) -> SafeString:
        if deployment.found_position is None:
            return self.status_now(deployment)
        return format_html(
            '{}<span class="quiet">no. {} in line</span>',
            self.status_now(deployment),
            deployment.found_position,
        )

    @admin.display(description="cluster")
    def in_cluster(self, deployment: Deployment) -> SafeString:
        return to_page(deployment.cluster)

    @admin.display(description="organization")
    def organization(self, deployment: Deployment) -> str:
        return deployment.cluster.organization.name

    @admin.display(description="cluster, organization")
    def where(self, deployment: Deployment) -> SafeString:
        return format_html(
            '{}<span class="quiet">{}</span>',
            to_page(deployment.cluster),
            deployment.cluster.organization.name,
        )

    @admin.display(description="image")
    def image_name(self, deployment: Deployment) -> SafeString:
        """The image's name without registry and path, which the deployment's page shows."""
        name = deployment.image.rpartition("/")[2]
        return format_html('<span class="cut mono" title="{}">{}</span>', deployment.image, name)

    @admin.display(description="priority")
    def priority(self, deployment: Deployment) -> str:
        return deployment.priority_class.name

    @admin.display(description="asks for")
    def asks_for(self, deployment: Deployment) -> str:
        return request(
            deployment.cpu_milli, deployment.ram_mib, deployment.gpu, deployment.replicas
        )

    @admin.display(description="priority, request")
    def wants(self, deployment: Deployment) -> SafeString:
        return format_html(
            '{}<span class="quiet">{}</span>', self.priority(deployment), self.asks_for(deployment)
        )

    @admin.display(description="submitted", ordering="pk")
    def submitted(self, deployment: Deployment) -> SafeString | str:
        return ago(deployment.created_at)


class Details:
    """The fields that only the page of one deployment has."""

    @admin.display(description="command")
    def command_line(self, deployment: Deployment) -> SafeString | str:
        return _words(deployment.command)

    @admin.display(description="arguments")
    def arguments(self, deployment: Deployment) -> SafeString | str:
        return _words(deployment.args)

    @admin.display(description="simulated runtime s")
    def simulated_runtime(self, deployment: Deployment) -> str:
        seconds = deployment.simulated_for_s
        return EMPTY if seconds is None else f"{seconds}"

    @admin.display(description="depends on")
    def needs(self, deployment: Deployment) -> SafeString | str:
        """The dependencies with their statuses. One query."""
        found = deployment.depends_on.order_by("pk").only("name", "status")
        if not found:
            return EMPTY
        return format_html_join(
            ", ", "{} {}", [(to_page(each), status_badge(each.status)) for each in found]
        )

    @admin.display(description="labels")
    def label_words(self, deployment: Deployment) -> SafeString | str:
        return _words([f"{name}={value}" for name, value in sorted(deployment.labels.items())])

    @admin.display(description="runs again")
    def runs_again(self, deployment: Deployment) -> SafeString | str:
        """The deployment that it runs again, while that is there. One query, none where it runs
        none again."""
        if deployment.rerun_of_id is None:
            return EMPTY
        found = Deployment.objects.filter(pk=deployment.rerun_of_id).only("name").first()
        return to_page(found) if found else EMPTY

    @admin.display(description="sweep")
    def of_sweep(self, deployment: Deployment) -> SafeString | str:
        """The sweep of which it is a member, and its number there. One query, none for others."""
        if deployment.sweep is None:
            return EMPTY
        return to_page(deployment.sweep, f"{deployment.sweep}, number {deployment.sweep_index}")

    @admin.display(description="environment")
    def env_names(self, deployment: Deployment) -> SafeString | str:
        """The variables' names alone: a value may be a secret."""
        return _words(deployment.env_names)

    @admin.display(description="container")
    def in_container(self, deployment: Deployment) -> SafeString | str:
        """What the submit set of the container."""
        given = {**deployment.container, **deployment.container.get("ulimits", {})}
        return _words([f"{name}={value}" for name, value in given.items() if name != "ulimits"])

    @admin.display(description="volumes")
    def mounts(self, deployment: Deployment) -> SafeString | str:
        """`datasets/images:/data:ro`, as the command lines of container engines have it."""
        return _words(
            [
                "/".join(filter(None, [each["name"], each["sub_path"]]))
                + f":{each['path']}"
                + (":ro" if each["read_only"] else "")
                for each in deployment.volumes
            ]
        )

    @admin.display(description="secrets")
    def secret_names(self, deployment: Deployment) -> SafeString | str:
        """Where each is in the containers, and its name; of a person's secret not the name."""
        return _words(
            [
                f"{each.get('env') or '/run/secrets/' + each['file']}="
                + (each["name"] or "(of the owner)")
                for each in shown(deployment, None)
            ]
        )

    @admin.display(description="retries by cause")
    def retry_rules(self, deployment: Deployment) -> SafeString | str:
        """What the submit set of its retries."""
        rules = deployment.retry
        words = [f"{name}={','.join(rules[key])}" for key, name in CAUSES if key in rules]
        if "ram_factor_milli" in rules:
            words.append(f"retry_ram_factor={units(rules['ram_factor_milli'])}")
            words.append(f"retry_ram_limit={rules['ram_limit_mib']}")
        return _words(words)

    @admin.display(description="placement")
    def placed_on(self, deployment: Deployment) -> SafeString | str:
        """`1 in the pool`, `2 on node-a, 1 on node-b`."""
        if not deployment.placement:
            return EMPTY
        return format_html_join(
            ", ",
            "{} {}",
            [(each["replicas"], _node_in_words(each)) for each in deployment.placement],
        )


def timeline(deployment: Deployment) -> dict[str, Any]:
    """The latest entries, oldest first, and whether there are earlier ones. One query."""
    events = list(events_of(deployment).reverse()[: MOST_EVENTS + 1])
    return {
        "events": [_entry(event) for event in reversed(events[:MOST_EVENTS])],
        "more": len(events) > MOST_EVENTS,
        "most": MOST_EVENTS,
    }


def _entry(event: DeploymentEvent) -> dict[str, Any]:
    return {
        "at": event.at,
        "type": badge(event.type, EVENT_TONES.get(EventType(event.type), "quiet")),
        "actor": event.actor or event.actor_name,
        "cycle_id": event.cycle_id,
        "details": facts(codes.shown(event.details)),
    }


def _words(words: list[str]) -> SafeString | str:
    if not words:
        return EMPTY
    return format_html_join(" ", '<code class="mono">{}</code>', [(word,) for word in words])


def _node_in_words(each: dict[str, Any]) -> str:
    node = each.get("node") or each.get("node_id")
    return f"on {node}" if node else "in the pool"
