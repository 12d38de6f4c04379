"""The house rules of an organization: what its members may do to each other's work."""

from django.db import models

from organizations.models import Organization


class Stop(models.TextChoices):
    """Whose deployments a member may stop; an ADMIN may stop all."""

    OWN = "own"
    ALL = "all"


class HouseRules(models.Model):
    """An organization without a row has the defaults."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="house_rules"
    )
    stop = models.CharField(max_length=3, choices=Stop.choices, default=Stop.ALL)
    confirm_evictions = models.BooleanField(default=False)
    restricted = models.JSONField(default=list, blank=True)
    """Each a dict of `priority`, `role`, and `members`, ids of users: of a class, the lowest role
    that may use it, and those who may as well."""
    max_cpu_milli = models.BigIntegerField(null=True, blank=True)
    max_ram_mib = models.BigIntegerField(null=True, blank=True)
    max_gpu = models.IntegerField(null=True, blank=True)
    """Of one member's deployments that may preempt and have not ended."""

    class Meta:
        verbose_name = verbose_name_plural = "house rules"
        constraints = [
            models.CheckConstraint(condition=models.Q(stop__in=Stop.values), name="known_stop")
        ]

    def __str__(self) -> str:
        return f"house rules {self.pk}"
