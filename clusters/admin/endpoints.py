"""The operators' pages of endpoints; operators may attach what a tenant may not (attachment.py).

No page shows a secret, also not the form with an error that has just been sent.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clusters.admin.forms import CoresField
from clusters.endpoints.attachment import LONGEST_URL, NAMESPACE, TLS_FIELDS
from clusters.endpoints.kubeconfig import LONGEST as LONGEST_KUBECONFIG
from clusters.endpoints.tls import LONGEST_PEM
from clusters.models import MAX_CPU_MILLI, MAX_GPU, MAX_RAM_MIB, Cluster, Endpoint, Runtime
from clusters.services import attach
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import EMPTY, ago, badge
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.refusals import RefusableForm, RefusingAdmin
from mlops_platform.api.resources import PUBLIC_NAMES

REQUIRED = "This field is required."


class SecretTextarea(forms.Textarea):
    """Never shows its value."""

    def format_value(self, value: Any) -> str:
        return ""


def _secret(label: str, most: int, help_text: str = "") -> forms.CharField:
    widget = SecretTextarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"})
    return forms.CharField(
        label=label, max_length=most, required=False, widget=widget, help_text=help_text
    )


class EndpointForm(RefusableForm, forms.ModelForm):
    node = forms.CharField(label="Node name", max_length=100, required=False)
    url = forms.CharField(
        label="URL",
        max_length=LONGEST_URL,
        required=False,
        help_text="unix:///var/run/docker.sock, ssh://user@host, or tcp://host:port.",
    )
    ca = _secret("CA, PEM", LONGEST_PEM)
    cert = _secret("Certificate, PEM", LONGEST_PEM)
    key = _secret("Private key, PEM", LONGEST_PEM)
    cpu = CoresField(
        label="CPU cores",
        decimal_places=3,
        min_value=0.001,
        max_value=MAX_CPU_MILLI // 1000,
        required=False,
        help_text="The engine tells what is left out.",
    )
    ram = forms.IntegerField(label="RAM, MiB", min_value=1, max_value=MAX_RAM_MIB, required=False)
    gpu = forms.IntegerField(label="GPUs", min_value=0, max_value=MAX_GPU, required=False)
    kubeconfig = _secret(
        "Kubeconfig",
        LONGEST_KUBECONFIG,
        "With everything inline: kubectl config view --raw --flatten --minify",
    )
    namespace = forms.RegexField(
        rf"^(?:{NAMESPACE.pattern})\Z",
        max_length=63,
        required=False,
        help_text="The kubeconfig's own, or default, where it is left out.",
    )

    class Meta:
        model = Endpoint
        fields = ["cluster"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.add_refusal()
        if self.instance._state.adding and (cluster := cleaned.get("cluster")):
            self._need(cluster)
        return cleaned

    def _need(self, cluster: Cluster) -> None:
        if cluster.runtime == Runtime.SIMULATED:
            raise ValidationError({"cluster": "A simulated cluster has no endpoints."})
        needed = ["node", "url"] if cluster.runtime == Runtime.DOCKER else ["kubeconfig"]
        for name in needed:
            if not self.cleaned_data.get(name) and name not in self.errors:
                self.add_error(name, REQUIRED)

    def _post_clean(self) -> None:
        """Leaves the row unchanged: the service writes it, and the page shows it beside the
        form."""

    def engine(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("url", *TLS_FIELDS)}

    def sizes(self) -> dict[str, int]:
        given = {column: self.cleaned_data.get(name) for column, name in PUBLIC_NAMES.items()}
        return {column: size for column, size in given.items() if size is not None}

    def api_server(self) -> dict[str, str]:
        names = ("kubeconfig", "namespace")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}


@admin.register(Endpoint)
class EndpointAdmin(LookUpMedia, RefusingAdmin):
    """Adding an endpoint attaches it; it is deleted with its node or its cluster."""

    form = EndpointForm
    list_display = ["url", "in_cluster", "attached_by", "seen", "away", "error"]
    list_filter = ["trusted", ("cluster", LookUpFilter)]
    list_select_related = ["cluster__organization"]
    search_fields = ["url", "cluster__name", "id"]
    ordering = ["cluster", "url", "pk"]
    sortable_by = ["url"]
    unlisted = ["secrets"]
    autocomplete_fields = ["cluster"]
    readonly_fields = ["in_cluster", "attached_by", "seen", "away", "error", "machines"]
    add_fieldsets = [
        (None, {"fields": ["cluster"]}),
        ("A Docker host", {"fields": ["node", "url", *TLS_FIELDS, *PUBLIC_NAMES.values()]}),
        ("A Kubernetes cluster", {"fields": ["kubeconfig", "namespace"]}),
    ]
    state_fieldset = (
        None,
        {"fields": ["in_cluster", "machines", "attached_by", "seen", "away", "error"]},
    )
    docker_fieldset = (
        "Replace it",
        {
            "fields": ["url", *TLS_FIELDS],
            "description": "As a whole: a certificate that is left out is gone.",
        },
    )
    kubernetes_fieldset = ("Replace it", {"fields": ["kubeconfig", "namespace"]})

    # --- What is shown -------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).select_related("cluster__organization")

    @admin.display(description="cluster")
    def in_cluster(self, endpoint: Endpoint) -> SafeString:
        return link_to(endpoint.cluster, f"{endpoint.cluster.organization} / {endpoint.cluster}")

    @admin.display(description="attached by")
    def attached_by(self, endpoint: Endpoint) -> SafeString:
        """An operator's endpoint may have any address."""
        return badge("an operator", "good") if endpoint.trusted else badge("its organization")

    @admin.display(description="last seen")
    def seen(self, endpoint: Endpoint) -> SafeString | str:
        return ago(endpoint.seen_at)

    @admin.display(description="does not answer since")
    def away(self, endpoint: Endpoint) -> SafeString | str:
        return ago(endpoint.away_since) if endpoint.away_since else EMPTY

    @admin.display(description="node")
    def machines(self, endpoint: Endpoint) -> SafeString | str:
        node = endpoint.nodes.first() if endpoint.cluster.runtime == Runtime.DOCKER else None
        return link_to(node) if node else EMPTY

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        is_docker = obj.cluster.runtime == Runtime.DOCKER
        return [
            self.state_fieldset,
            self.docker_fieldset if is_docker else self.kubernetes_fieldset,
        ]

    # --- What is done --------------------------------------------------------------------------

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"cluster": request.GET.get("cluster", "")}

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        if change:
            self._replace(obj, form)
        else:
            obj.pk = self._attach(form).pk
            obj._state.adding = False
        obj.refresh_from_db()

    def _attach(self, form: EndpointForm) -> Endpoint:
        cluster: Cluster = form.cleaned_data["cluster"]
        if cluster.runtime == Runtime.KUBERNETES:
            attach.change_cluster(cluster, form.api_server(), trusted=True)
            return cluster.endpoints.get()
        body = {"name": form.cleaned_data["node"], "endpoint": form.engine(), **form.sizes()}
        node = attach.add_node(cluster, body, trusted=True)
        assert node.endpoint is not None
        return node.endpoint

    def _replace(self, endpoint: Endpoint, form: EndpointForm) -> None:
        """Replace what was entered; saving the form without input changes nothing."""
        if not form.changed_data:
            return
        if endpoint.cluster.runtime == Runtime.KUBERNETES:
            attach.change_cluster(endpoint.cluster, form.api_server(), trusted=True)
        elif node := endpoint.nodes.select_related("cluster").first():
            attach.change_node(node, {"endpoint": form.engine()}, trusted=True)
