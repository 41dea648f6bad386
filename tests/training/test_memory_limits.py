"""Memory: what a step that does not fit raises, and the batches that `auto` chooses."""

import pytest
import tensorflow as tf
from step_cases import make_step, small_batch, small_model

from s2s_cli.config.schema import config_type
from s2s_cli.model.family import family_of
from s2s_cli.training.resolve import fitting_batch_tokens
from s2s_cli.training.step import TrainingStep, ValidationLoss


def refuse(*_):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_a_step_that_does_not_fit_raises_memory_error(monkeypatch):
    monkeypatch.setattr(TrainingStep, "_step_of_one_batch", refuse)
    with pytest.raises(MemoryError):
        make_step(small_model())([small_batch()], 1, 0.01)


def test_a_validation_batch_that_does_not_fit_raises_memory_error():
    seq2seq = small_model()
    validate = ValidationLoss(seq2seq)
    validate._compiled = refuse
    with pytest.raises(MemoryError):
        validate([small_batch()], seq2seq.weights)


def test_batch_tokens_are_halved_until_a_step_fits_in_half_of_the_free_memory():
    config = config_type().model_validate(
        {"data": {"train": {"tsv": "a"}}, "training": {"batch_tokens": "auto"}}
    )
    per_token = family_of(config.model).training_bytes_per_token(
        config.model, config.tokenizer.vocab_size, config.data.max_length
    )
    step = 4096 * per_token
    assert fitting_batch_tokens(config, None) == 4096
    assert fitting_batch_tokens(config, 2 * step) == 4096
    assert fitting_batch_tokens(config, 2 * step - 1) == 2048
    assert fitting_batch_tokens(config, step // 3) == 512
    assert fitting_batch_tokens(config, 1) == 256
