"""The run directory: paths, lock, checkpoints, resume, repair."""
