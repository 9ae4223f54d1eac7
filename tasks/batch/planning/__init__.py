"""Planning of a run: list the source, compare it with catalog and destination, divide the rest into shards."""
