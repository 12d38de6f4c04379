"""The runtime of a Kubernetes cluster: one Pod for each replica, bound by the kube-scheduler."""
