"""The stage runner: shards are sent to workers, and their results are committed in waves."""
