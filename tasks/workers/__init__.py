"""Tools that jobs use on a worker: models, images, memory, timing."""
