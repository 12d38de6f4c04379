"""The form of a cluster, with CPU in cores."""

from decimal import Decimal
from typing import Any

from django import forms

from clusters.api.serializers import (
    LOST_AFTER_S,
    MOST_CLASS_COST_RATIO,
    MOST_PREEMPTIONS,
    YEAR_S,
    PolicySerializer,
)
from clusters.models import MAX_CPU_MILLI, MAX_GPU, MAX_RAM_MIB, Cluster, Runtime
from mlops_platform.admin.refusals import RefusableForm
from mlops_platform.api.fields import MILLI

TOTALS = ["total_cpu_milli", "total_ram_mib", "total_gpu"]
POLICY = list(PolicySerializer().fields)
MOST_QUEUED = 1_000_000_000
QUEUE_LIMITS = ["max_queued", "max_queued_per_user"]


class CoresField(forms.DecimalField):
    """Cores in the form, millicores outside it."""

    def prepare_value(self, value: Any) -> Any:
        return _cores(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> int | None:
        cores = super().clean(value)
        return None if cores is None else int(cores * MILLI)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def _cores(milli: int) -> Decimal:
    whole = Decimal(milli) / MILLI
    return whole.quantize(Decimal(1)) if whole == int(whole) else whole.normalize()


class ClusterForm(RefusableForm, forms.ModelForm):
    """Keeps the values that the operator has seen, so that only the operator's changes are written,
    and no later change of another user is undone."""

    total_cpu_milli = CoresField(
        label="CPU cores",
        decimal_places=3,
        min_value=Decimal(1) / MILLI,
        max_value=Decimal(MAX_CPU_MILLI) / MILLI,
        required=False,
    )
    total_ram_mib = forms.IntegerField(
        label="RAM, MiB", min_value=1, max_value=MAX_RAM_MIB, required=False
    )
    total_gpu = forms.IntegerField(label="GPUs", min_value=0, max_value=MAX_GPU, required=False)
    preempt_exempt_s = forms.IntegerField(
        label="Exempt from preemption, s", min_value=0, max_value=YEAR_S
    )
    reserve_after_s = forms.IntegerField(label="Reserve after, s", min_value=0, max_value=YEAR_S)
    max_preemptions = forms.IntegerField(
        label="Most preemptions", min_value=0, max_value=MOST_PREEMPTIONS
    )
    class_cost_ratio = forms.IntegerField(
        label="Class cost ratio", min_value=0, max_value=MOST_CLASS_COST_RATIO
    )
    preemption_delay_s = forms.IntegerField(
        label="Preemption delay, s", min_value=0, max_value=YEAR_S
    )
    low_share_percent = forms.IntegerField(
        label="Share that LOW keeps, %", min_value=0, max_value=100
    )
    assumed_runtime_s = forms.IntegerField(
        label="Assumed to run before a window, s", min_value=0, max_value=YEAR_S
    )
    fail_impossible_after_s = forms.IntegerField(
        label="Fail the impossible after, s",
        min_value=60,
        max_value=YEAR_S,
        required=False,
        help_text="Empty: it waits for the cluster to change.",
    )
    node_lost_after_s = forms.IntegerField(
        label="Node lost after, s", min_value=LOST_AFTER_S[0], max_value=LOST_AFTER_S[1]
    )
    max_queued = forms.IntegerField(
        label="Most queued",
        min_value=1,
        max_value=MOST_QUEUED,
        required=False,
        help_text="Deployments; empty: MAX_QUEUED_PER_CLUSTER of the settings.",
    )
    max_queued_per_user = forms.IntegerField(
        label="Most queued of a user",
        min_value=1,
        max_value=MOST_QUEUED,
        required=False,
        help_text="Empty: MAX_QUEUED_PER_USER of the settings.",
    )

    class Meta:
        model = Cluster
        fields = [
            *["organization", "name", "runtime"],
            *TOTALS,
            *POLICY,
            "node_lost_after_s",
            *QUEUE_LIMITS,
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policy = PolicySerializer().fields
        defaults = Cluster()
        for name, field in self.fields.items():
            field.initial = getattr(defaults, name, None)
            field.show_hidden_initial = not self.instance._state.adding
            if name in policy:
                field.help_text = policy[name].help_text or ""

    def _post_clean(self) -> None:
        """Leaves the row unchanged where it is refused: the page shows the row beside the form."""
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]  # Django's own hook, not in the stubs

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.add_refusal()
        runtime = cleaned.get("runtime", self.instance.runtime)
        is_new = self.instance._state.adding
        none_given = is_new and not any(self.data.get(self.add_prefix(name)) for name in TOTALS)
        for name in TOTALS:
            if name not in self.fields:
                continue
            if runtime != Runtime.SIMULATED or none_given:
                cleaned[name] = 0  # until there are nodes
            elif cleaned.get(name) is None and name not in self.errors:
                self.add_error(name, "This field is required.")
        return cleaned
