"""The operators' pages of sandboxes: how far a cluster's containers are confined.

Only operators may change a sandbox, so the API has no call for it.
"""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clusters import recording
from clusters.models import Cluster, Runtime, Sandbox
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import EMPTY
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.pages import OperatorAdmin
from organizations.events.models import OrganizationEventType
from organizations.events.recording import columns_of

MOST_PIDS = 4_194_304  # the limit of Linux
# All capabilities of Linux 6, by the names of Docker and Kubernetes.
CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL",
    "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
    "WAKE_ALARM",
)  # fmt: skip
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class SandboxForm(forms.ModelForm):
    pids_limit = forms.IntegerField(
        label="Most processes", min_value=1, max_value=MOST_PIDS, initial=4096
    )
    add_capabilities = forms.MultipleChoiceField(
        label="Capabilities given back",
        choices=[(name, name) for name in CAPABILITIES],
        required=False,
        help_text="All are dropped, but for these.",
    )
    network = forms.CharField(
        max_length=100,
        initial="bridge",
        help_text="Docker: the network's name, or none. Kubernetes has its own.",
    )

    class Meta:
        model = Sandbox
        fields = [
            "cluster",
            "pids_limit",
            "add_capabilities",
            "allow_privilege_escalation",
            "read_only_root",
            "network",
        ]

    def clean_cluster(self) -> Cluster:
        cluster: Cluster = self.cleaned_data["cluster"]
        if cluster.runtime == Runtime.SIMULATED:
            raise ValidationError("A simulated cluster has no containers.")
        return cluster

    def clean_network(self) -> str:
        """Neither the network of another container nor that of this host."""
        network: str = self.cleaned_data["network"]
        if network == "host" or not _NETWORK.fullmatch(network):
            raise ValidationError("The name of a network, or none; never host or container:…")
        return network


@admin.register(Sandbox)
class SandboxAdmin(LookUpMedia, OperatorAdmin):
    """A change applies from the next start on, not to running containers."""

    form = SandboxForm
    list_display = ["in_cluster", "network", "pids_limit", "capabilities", "read_only_root"]
    list_display_links = ["network"]
    list_filter = [("cluster", LookUpFilter)]
    list_select_related = ["cluster__organization"]
    search_fields = ["cluster__name", "cluster__organization__name"]
    ordering = ["cluster", "pk"]
    autocomplete_fields = ["cluster"]
    fields = (*SandboxForm.Meta.fields,)

    @admin.display(description="cluster")
    def in_cluster(self, sandbox: Sandbox) -> SafeString:
        return link_to(sandbox.cluster, f"{sandbox.cluster.organization} / {sandbox.cluster}")

    @admin.display(description="capabilities")
    def capabilities(self, sandbox: Sandbox) -> str:
        return ", ".join(sandbox.add_capabilities) or EMPTY

    def get_readonly_fields(self, request: HttpRequest, obj: Sandbox | None = None) -> Any:
        return ["cluster"] if obj else []

    def save_model(self, request: HttpRequest, obj: Sandbox, form: Any, change: bool) -> None:
        before = {name: form.initial.get(name) for name in form.changed_data} if change else None
        super().save_model(request, obj, form, change)
        _note(obj, before, columns_of(obj, [*before] if before is not None else SHOWN))

    def delete_model(self, request: HttpRequest, obj: Sandbox) -> None:
        _note(obj, columns_of(obj, SHOWN), None)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Sandbox]) -> None:
        for sandbox in queryset.select_related("cluster"):
            self.delete_model(request, sandbox)


SHOWN = [name for name in SandboxForm.Meta.fields if name != "cluster"]


def _note(sandbox: Sandbox, before: Mapping[str, Any] | None, after: Any) -> None:
    """A sandbox is a setting of its cluster."""
    sides = [None if each is None else {"sandbox": dict(each)} for each in (before, after)]
    recording.of_cluster(sandbox.cluster, OrganizationEventType.CLUSTER_CHANGED, *sides)
