"""Retraining: curate, finetune, distill, evaluate and promote as one resumable run."""
