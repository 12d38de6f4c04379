"""What happens in organizations beside their deployments: the entries of feeds, for audits."""
