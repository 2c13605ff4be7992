"""What training and post-training compute alike: loaded models, rows as tensors, losses. Needs torch."""
