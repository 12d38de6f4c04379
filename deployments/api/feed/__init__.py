"""Following what changes: updates of deployments, and the events of an organization."""
