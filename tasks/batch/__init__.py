"""derain-batch: planning a run, deraining its shards on workers, and reporting the result."""
