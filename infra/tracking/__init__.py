"""MLflow: the server, tracked runs, the model registry and the contents of a registered version."""
