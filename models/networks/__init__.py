"""The networks, and what callers must know of each: sizes, receptive field, cost, losses."""
