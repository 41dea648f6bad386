"""A sentence becomes token ids, and back."""
