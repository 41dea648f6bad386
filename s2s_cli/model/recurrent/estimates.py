"""How large a recurrent model is, and what its steps take, from its settings alone."""

from __future__ import annotations

from s2s_cli.config.schema import RecurrentModel
from s2s_cli.model.family import VocabSizes

# float32 values that a training step holds for a target position and a token of the vocabulary
# (logits, their exponentials, their gradient, one in between) ...
VALUES_PER_LOGIT = 4
# ... and for a position and a unit of a layer (four gates, their local gradients, states).
VALUES_PER_UNIT = 24


def has_attention(settings: RecurrentModel) -> bool:
    """Whether the decoder gives attention."""
    return settings.decoder.attention != "none"


def parameter_count(settings: RecurrentModel, sizes: VocabSizes) -> int:
    """How many weights the layers have."""
    size, encoder, decoder = settings.embedding.size, settings.encoder, settings.decoder
    tables = sizes.target * size
    if not settings.embedding.shared:
        tables += sizes.source * size
    count = tables
    directions = 2 if encoder.bidirectional else 1
    for index in range(encoder.layers):
        width = size if index == 0 else encoder.width
        count += directions * _recurrent(settings, width, encoder.units)
    for index in range(decoder.layers):
        count += _recurrent(settings, _decoder_inputs(settings, index), decoder.units)
    if settings.layer_norm:
        normalized = encoder.layers if decoder.reads_memory else encoder.layers - 1
        count += 2 * (normalized * encoder.width + decoder.layers * decoder.units)
    if decoder.initial_state == "mean" or encoder.width != decoder.units:
        states = 2 if settings.architecture == "lstm" else 1
        count += states * decoder.layers * (encoder.width + 1) * decoder.units
    if decoder.attention in ("general", "additive"):
        count += encoder.width * decoder.units
    if decoder.attention == "additive":
        count += (decoder.units + 1) * decoder.units + decoder.units
    if decoder.coverage:
        count += decoder.units
    readout, output = _output_widths(settings)
    count += (readout + 1) * output if readout else 0
    return count if settings.embedding.tied else count + (output + 1) * sizes.target


def training_bytes_per_token(settings: RecurrentModel, vocab_size: int, max_length: int) -> int:
    """About how much memory a training step takes for a position of a batch, in bytes.

    For the model of the benchmark this gives 230 kB; some 250 kB were measured.
    """
    encoder, decoder = settings.encoder, settings.decoder
    units = encoder.layers * encoder.width + decoder.layers * decoder.units
    attention = 0 if decoder.attention == "none" else 4 * max_length
    return 4 * (VALUES_PER_LOGIT * vocab_size + VALUES_PER_UNIT * units + attention)


def products_per_token(settings: RecurrentModel, sizes: VocabSizes) -> tuple[int, int]:
    """Multiplications of matrix products in a forward pass, for a source and a target token.

    The scores and the context of the attention, 2 × S × units a target token, are left out.
    """
    size, encoder, decoder = settings.embedding.size, settings.encoder, settings.decoder
    gates = 4 if settings.architecture == "lstm" else 3
    directions = 2 if encoder.bidirectional else 1
    source = target = 0
    for index in range(encoder.layers):
        width = size if index == 0 else encoder.width
        source += directions * gates * encoder.units * (width + encoder.units)
    for index in range(decoder.layers):
        width = _decoder_inputs(settings, index)
        target += gates * decoder.units * (width + decoder.units)
    if decoder.attention in ("general", "additive"):
        source += encoder.width * decoder.units
    if decoder.attention == "additive":
        target += decoder.units * decoder.units
    readout, output = _output_widths(settings)
    return source, target + readout * output + output * sizes.target


def _recurrent(settings: RecurrentModel, width: int, units: int) -> int:
    """The weights of one recurrent layer in one direction; Keras's GRU has two biases a gate."""
    gates, biases = (4, 1) if settings.architecture == "lstm" else (3, 2)
    return gates * units * (width + units + biases)


def _decoder_inputs(settings: RecurrentModel, layer: int) -> int:
    """The input width of a decoder layer."""
    decoder = settings.decoder
    if layer == 0:
        return settings.embedding.size + (settings.hidden_size if decoder.input_feeding else 0)
    is_above = decoder.query_layer is not None and layer > decoder.query_layer
    return decoder.units + (settings.encoder.width if is_above else 0)


def _output_widths(settings: RecurrentModel) -> tuple[int, int]:
    """The input width of the readout layer (0: there is none), and that of the output layer."""
    decoder, output = settings.decoder, settings.hidden_size
    if decoder.attention != "none":
        return settings.encoder.width + decoder.units, output
    return (decoder.units if output != decoder.units else 0), output
