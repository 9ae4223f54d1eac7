"""Planning of a run: list the source, compare it with catalog and destination, cut pending images into shards."""
