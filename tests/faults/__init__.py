"""Trainings that are killed, stopped, damaged, or run out of disk space, on purpose."""
