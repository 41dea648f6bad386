"""How large a Transformer is, and what its steps take, from its settings alone."""

from __future__ import annotations

from s2s_cli.config.schema import TransformerModel
from s2s_cli.model.family import VocabSizes

# float32 values that a training step holds for a target position and a token of the vocabulary
# (logits, their exponentials, their gradient, one in between) ...
VALUES_PER_LOGIT = 4
# ... for a position, a sublayer and a value of the model size ...
VALUES_PER_SUBLAYER = 8
# ... and for a position and a hidden unit of a feed-forward network.
VALUES_PER_HIDDEN_UNIT = 3


def has_attention(settings: TransformerModel) -> bool:
    """Whether the decoder gives attention: always."""
    return True


def parameter_count(settings: TransformerModel, sizes: VocabSizes) -> int:
    """How many weights the layers have."""
    size, embedding = settings.embedding.size, settings.embedding
    attention = 4 * size * size + 3 * size  # no bias of the keys
    feed_forward = 2 * size * settings.feed_forward + settings.feed_forward + size
    norm = 2 * size
    count = settings.encoder.layers * (attention + feed_forward + 2 * norm)
    count += settings.decoder.layers * (2 * attention + feed_forward + 3 * norm)
    count += 2 * norm if settings.normalization == "pre" else 0
    count += 2 * (settings.position_limit or 0) * size
    count += sizes.target * size + (0 if embedding.shared else sizes.source * size)
    return count + (1 if embedding.tied else size + 1) * sizes.target


def training_bytes_per_token(settings: TransformerModel, vocab_size: int, max_length: int) -> int:
    """About how much memory a training step takes for a position of a batch, in bytes.

    For the Transformer of the benchmark this gives 310 kB; some 310 kB were measured.
    """
    encoder, decoder = settings.encoder.layers, settings.decoder.layers
    sublayers = 2 * encoder + 3 * decoder
    attentions = (encoder + 2 * decoder) * settings.heads
    return 4 * (
        VALUES_PER_LOGIT * vocab_size
        + VALUES_PER_SUBLAYER * sublayers * settings.embedding.size
        + VALUES_PER_HIDDEN_UNIT * (encoder + decoder) * settings.feed_forward
        + 4 * attentions * max_length
    )


def products_per_token(settings: TransformerModel, sizes: VocabSizes) -> tuple[int, int]:
    """Multiplications of matrix products in a forward pass, for a source and a target token.

    The scores and the contexts of the attentions, which grow with the length of a sentence, are
    left out.
    """
    size, decoder = settings.embedding.size, settings.decoder.layers
    attention, feed_forward = 4 * size * size, 2 * size * settings.feed_forward
    memory = decoder * 2 * size * size  # keys and values for the decoder, of a source token
    source = settings.encoder.layers * (attention + feed_forward) + memory
    target = decoder * (2 * attention + feed_forward) - memory + size * sizes.target
    return source, target
