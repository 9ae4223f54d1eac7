"""Training: fine-tuning and distillation, with their requests, data, tracking and registration."""
