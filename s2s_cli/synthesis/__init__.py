"""Further training data, made by a trained run."""
