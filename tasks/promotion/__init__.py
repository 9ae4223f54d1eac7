"""evaluate, promote, rollback: two networks side by side, gates, the move of an alias."""
