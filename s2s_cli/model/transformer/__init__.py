"""The Transformer family."""

from s2s_cli.model.transformer.estimates import (
    has_attention,
    parameter_count,
    products_per_token,
    training_bytes_per_token,
)
from s2s_cli.model.transformer.model import make_layers

__all__ = [
    "has_attention",
    "make_layers",
    "parameter_count",
    "products_per_token",
    "training_bytes_per_token",
]
