"""MLflow: the server, tracked runs, the registry and what a registered version holds."""
