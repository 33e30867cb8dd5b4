"""What a trained model is worth on held-out prompts, and what baselines are."""
