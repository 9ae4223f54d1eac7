"""Networks, rain synthesis, losses, metrics, the inference engine, training loops: torch and numpy only."""
