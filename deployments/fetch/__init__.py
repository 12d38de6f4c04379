"""The program that fetches buckets before a deployment starts, in a container of the platform's own
image on the deployment's node. It knows neither Django nor the database."""
