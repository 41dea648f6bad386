"""Which tokens may not stand at a position."""

from __future__ import annotations

import tensorflow as tf

from s2s_cli.text.tokenizer import EOS, PAD

# So many tokens at most are forbidden in a row: with as many more, top-k leaves enough.
MAX_FORBIDDEN = 2


def is_forbidden(ids: tf.Tensor, position: tf.Tensor, min_length: int) -> tf.Tensor:
    """Whether ids, of any shape, may not stand at a position (0 is the first), bool.

    Padding never may; `</s>` may not before `min_length` tokens.
    """
    return (ids == PAD) | ((ids == EOS) & (position < min_length))
