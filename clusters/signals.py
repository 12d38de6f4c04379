"""News of clusters, each sent inside the transaction that made it."""

from django.dispatch import Signal

# cluster_id: the cluster's totals, policy or state changed, so waiting workloads may start now.
cluster_changed = Signal()

# cluster (its row locked): its policy needs other scheduling keys from now on. Its scheduler
# distinguishes owners, or no longer does; or max_preemptions differs.
keys_change = Signal()

# cluster (its row locked): its state is DELETING from now on, for containers run in it. The app
# that runs them stops them, and deletes the cluster in the end.
cluster_closing = Signal()

# cluster (its row locked): it is deleted, to all but what deletes its rows later.
cluster_deleted = Signal()

# cluster_id (its row locked), node_id, name: a node has another name now.
node_renamed = Signal()
