"""finetune, distill, retrain: what is asked for, what is trained on, what is registered."""
