"""How large a batch may be, by the memory that a training step takes."""

from __future__ import annotations

from s2s_cli.schema import Config

MOST_TOKENS, LEAST_TOKENS = 4096, 256
# float32 values that are kept for each type of a target token (logits, their powers, their
# gradient, one in between), and for each unit of a layer (four gates, their factors, states).
VALUES_A_TYPE, VALUES_A_UNIT = 4, 24


def bytes_a_token(config: Config) -> int:
    """About what a step takes for each position of a batch, source and target together.

    For the model of the benchmark this gives 230 kB, and some 250 were measured.
    """
    encoder, decoder = config.model.encoder, config.model.decoder
    units = encoder.layers * encoder.width + decoder.layers * decoder.units
    attention = 0 if decoder.attention == "none" else 4 * config.data.max_length
    return 4 * (VALUES_A_TYPE * config.tokenizer.vocab_size + VALUES_A_UNIT * units + attention)


def fitting_batch_tokens(config: Config, available: int | None) -> int:
    """MOST_TOKENS, halved until a step takes no more than half of the `available` bytes."""
    tokens = MOST_TOKENS
    while available and tokens > LEAST_TOKENS and 2 * tokens * bytes_a_token(config) > available:
        tokens //= 2
    return tokens
