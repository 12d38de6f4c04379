"""Runtimes run the replicas of placed deployments. They know neither Django nor the database."""
