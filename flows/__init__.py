"""One Prefect flow a file: wiring only. Each docstring opens with the command that runs it."""
