"""The operators' pages of volumes. Only here are folders of nodes and file servers offered."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from rest_framework.exceptions import APIException

from clusters.api.volumes.serializers import NewVolumeSerializer
from clusters.models import Volume
from clusters.services import volumes
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import EMPTY
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.refusals import RefusableForm, RefusingAdmin, sentences_of

GIVEN = ("name", "kind", "source", "read_only", "node_names", "node_selector")
CHANGEABLE = GIVEN[2:]
OF_JSON = ("source", "node_names", "node_selector")


class JSONInput(forms.JSONField):
    """A few lines for JSON, which an operator may also leave empty: `empty` is meant then."""

    def __init__(self, empty: Any, help_text: str) -> None:
        lines = forms.Textarea({"rows": 3, "cols": 60, "class": "vLargeTextField"})
        super().__init__(required=False, initial=empty, widget=lines, help_text=help_text)


class VolumeForm(RefusableForm, forms.ModelForm):
    source = JSONInput(
        {},
        help_text=(
            'Folder of the node: {"path"}; of a file server: {"server", "path"}; volume of the '
            'Docker engine: {} or {"volume"}; PersistentVolumeClaim: {"claim"} or {"size_mib", '
            '"storage_class", "access_mode"}; bucket: {"endpoint", "bucket", "prefix", "region", '
            '"secrets": {"access_key_id", "secret_access_key"}, "max_mib"}.'
        ),
    )
    node_names = JSONInput([], help_text='The nodes that have it: ["gpu-1"]; else all.')
    node_selector = JSONInput({}, help_text='Only nodes with these labels have it: {"zone": "b"}.')

    class Meta:
        model = Volume
        fields = ["cluster", "name", "kind", "source", "read_only", "node_names", "node_selector"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.add_refusal()
        empty = {name: self.fields[name].initial for name in OF_JSON}
        kept = {name: getattr(self.instance, name) for name in ("name", "kind")}
        given = {**kept, **cleaned}
        body = {name: given.get(name) or empty.get(name, given.get(name)) for name in GIVEN}
        judge = NewVolumeSerializer(data=body)
        if not self.errors and not judge.is_valid():
            for field, detail in judge.errors.items():
                for name, said in sentences_of(detail):
                    self.add_error(
                        field if field in self.fields else None, f"{name}: {said}" if name else said
                    )
        elif not self.errors:
            cleaned |= judge.validated_data
        return cleaned

    def _post_clean(self) -> None:
        """Leaves the row unchanged: the service writes it, and judges names that are taken."""


@admin.register(Volume)
class VolumeAdmin(LookUpMedia, RefusingAdmin):
    """A change counts from the next starts on, not for running containers."""

    form = VolumeForm
    list_display = ["name", "in_cluster", "kind", "read_only", "nodes"]
    list_filter = ["kind", "read_only", ("cluster", LookUpFilter)]
    list_select_related = ["cluster__organization"]
    search_fields = ["name", "cluster__name", "id"]
    ordering = ["cluster", "name", "pk"]
    sortable_by = ["name"]
    autocomplete_fields = ["cluster"]
    fields = (*VolumeForm.Meta.fields,)

    @admin.display(description="cluster")
    def in_cluster(self, volume: Volume) -> SafeString:
        return link_to(volume.cluster, f"{volume.cluster.organization} / {volume.cluster}")

    @admin.display(description="nodes that have it")
    def nodes(self, volume: Volume) -> str:
        labels = [f"{name}={value}" for name, value in volume.node_selector.items()]
        return ", ".join([*volume.node_names, *labels]) or EMPTY

    def get_readonly_fields(self, request: HttpRequest, obj: Volume | None = None) -> Any:
        return ["cluster", "name", "kind"] if obj else []

    def save_model(self, request: HttpRequest, obj: Volume, form: Any, change: bool) -> None:
        cleaned = form.cleaned_data
        if change:
            given = {name: cleaned[name] for name in CHANGEABLE}
            volumes.change_volume(obj, given, trusted=True)
        else:
            given = {name: cleaned[name] for name in GIVEN}
            obj.pk = volumes.add_volume(cleaned["cluster"], given, trusted=True).pk
            obj._state.adding = False
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Volume) -> None:
        volumes.delete_volume(obj, trusted=True)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except APIException as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:clusters_volume_changelist"))

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once, which would not call the service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
