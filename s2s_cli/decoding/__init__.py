"""Weights become text."""
