"""Actions on many deployments at once."""
