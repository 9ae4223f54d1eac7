"""The networks, with their sizes, receptive fields, costs and losses."""
