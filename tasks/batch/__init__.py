"""derain-batch: what is to do, what a worker does with it, what is told of it."""
