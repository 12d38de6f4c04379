"""What others may want to know about deployments; sent inside the transaction that did it."""

from django.dispatch import Signal

# cluster_id, deployment_ids, trigger ("STOPPED", "FINISHED" or "CHANGED"): capacity was freed, or
# a queued deployment left or changed. A new deployment is told by post_save(created).
deployment_stopped = Signal()

# deployments (just inserted together, with their clusters): a bulk insert sends no post_save.
deployments_submitted = Signal()

# deployment (just inserted), digest (of its body), token: it was submitted with a quote. Whoever
# gave the quote keeps it now, in this transaction, or raises a Conflict.
quote_presented = Signal()

# deployments (ready and queued, of whom no cycle has written down why they wait): whoever knows
# answers with {id: (code, details)}.
reasons_missing = Signal()
