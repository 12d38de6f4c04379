"""The words of a cluster's scheduling policy."""

from django.db import models


class Queueing(models.TextChoices):
    BEST_EFFORT = "best_effort"
    STRICT = "strict"
    EASY_BACKFILL = "easy_backfill"


class Ordering(models.TextChoices):
    GPU_WEIGHTED = "gpu_weighted"
    FIFO = "fifo"
    FAIR_SHARE = "fair_share"


class Preemption(models.TextChoices):
    LOWER_PRIORITY = "lower_priority"
    NEVER = "never"


class Placement(models.TextChoices):
    BINPACK = "binpack"
    SPREAD = "spread"
