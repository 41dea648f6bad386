"""Sizes and arithmetic of a model, from its settings alone."""

import itertools

import pytest
from model_cases import TRANSFORMERS, VARIANTS, make_model, model_settings, name_of

from s2s_cli.model.family import VocabSizes, family_of

SIZES = VocabSizes(11, 13)
GRID = [
    {
        "architecture": architecture,
        "decoder__attention": attention,
        "encoder__bidirectional": bidirectional,
        "encoder__layers": encoder_layers,
        "decoder__layers": decoder_layers,
        "decoder__initial_state": initial_state,
        "embedding__tied": tied,
    }
    for (architecture, bidirectional), attention, (encoder_layers, decoder_layers), (
        initial_state,
        tied,
    ) in itertools.product(
        itertools.product(("lstm", "gru"), (True, False)),
        ("none", "general", "additive"),
        ((1, 1), (2, 3)),
        (("last", False), ("mean", True)),
    )
] + [
    {"decoder__attention": "dot"},
    {"embedding__size": 8, "decoder__attention": "none", "embedding__tied": True},
    {"embedding__shared": True, "embedding__tied": True},
    {"embedding__shared": True},
    *VARIANTS,
    *TRANSFORMERS,
    {**TRANSFORMERS[3], "embedding__shared": True},
]


@pytest.mark.parametrize("changes", GRID, ids=name_of)
def test_counts_are_those_of_the_model_that_is_made(changes):
    settings = model_settings(**changes)
    sizes = VocabSizes(13, 13) if settings.embedding.shared else SIZES
    seq2seq, family = make_model(settings, sizes), family_of(settings)
    assert family.parameter_count(settings, sizes) == seq2seq.training_model.count_params()
    # A multiplication for each value of a kernel; a tied output layer's kernel is the table.
    source = target = 0
    for path, weight in seq2seq.weights.items():
        values = int(weight.numpy().size)
        of_source = path.startswith(("encoder_", "attention_keys"))
        if of_source or path.partition("/")[0].endswith(("memory_keys", "memory_values")):
            source += values if path.endswith("kernel") else 0
        elif path.startswith(("decoder_", "attention_query", "readout", "output/")):
            target += values if path.endswith("kernel") else 0
        if settings.embedding.tied and path in TABLES:
            target += values
    assert family.products_per_token(settings, sizes) == (source, target)
    assert family.has_attention(settings) == (changes.get("decoder__attention") != "none")


TABLES = ("target_embedding/embeddings", "embedding/embeddings")


@pytest.mark.parametrize(
    "larger",
    [
        {"encoder__layers": 3},
        {"decoder__units": 16},
        {"architecture": "transformer", "decoder__layers": 3},
        {"architecture": "transformer", "feed_forward": 16},
    ],
    ids=name_of,
)
def test_the_memory_of_a_training_step_grows_with_what_fills_it(larger):
    settings = model_settings(architecture=larger.get("architecture", "lstm"))
    bytes_per_token = family_of(settings).training_bytes_per_token
    small = bytes_per_token(settings, 1000, 50)
    assert bytes_per_token(settings, 2000, 50) > small
    assert bytes_per_token(settings, 1000, 100) > small
    assert bytes_per_token(model_settings(**larger), 1000, 50) > small
