"""The section `model` is a union of families, selected by `architecture`."""

from typing import ClassVar, Literal

import pytest

from s2s_cli.config.load import dump_config, load_config, override_decoding
from s2s_cli.config.schema import (
    ModelSettings,
    RecurrentModel,
    Section,
    TransformerModel,
    config_type,
    resolved_config_type,
)
from s2s_cli.errors import ConfigError


class BagEncoder(Section):
    """A made-up encoder."""

    units: int = 5
    """Units."""
    pooling: Literal["mean", "max"] = "mean"
    """How vectors are pooled."""


class BagModel(ModelSettings):
    """A made-up second family."""

    family: ClassVar[str] = "tests.bag"
    architecture: Literal["bag"] = "bag"
    """A bag of embeddings."""
    encoder: BagEncoder = BagEncoder()
    """A made-up encoder."""
    heads: int = 4
    """Heads."""


FAMILIES = (RecurrentModel, BagModel)


def load(tmp_path, model: str, families=FAMILIES, *overrides: str):
    path = tmp_path / "x.yaml"
    path.write_text(f"data: {{train: {{tsv: a}}}}\nmodel:\n{model}")
    return load_config(path, overrides, families)


def refusal(tmp_path, model: str, families=FAMILIES, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, model, families, *overrides)
    return caught.value.message.replace(str(tmp_path / "x.yaml"), "x.yaml").splitlines()


def test_the_architecture_selects_the_family_and_lstm_is_the_default(tmp_path):
    assert load(tmp_path, "  dropout: 0.1\n").model == RecurrentModel(dropout=0.1)
    assert load(tmp_path, "  architecture: gru\n").model == RecurrentModel(architecture="gru")
    bag = load(tmp_path, "  architecture: bag\n  encoder: {pooling: max}\n")
    assert bag.model == BagModel(encoder=BagEncoder(pooling="max"))
    (tmp_path / "again.yaml").write_text(dump_config(bag))
    assert load_config(tmp_path / "again.yaml", families=FAMILIES) == bag


def test_a_setting_of_the_wrong_family_names_the_family_it_belongs_to(tmp_path):
    assert refusal(tmp_path, "  dropout: 0.1\n  heads: 8\n  encoder: {pooling: max}\n") == [
        "x.yaml:4: model.heads belongs to architecture bag; architecture is lstm.",
        "x.yaml:5: model.encoder.pooling belongs to architecture bag; architecture is lstm.",
    ]
    assert refusal(tmp_path, "  encoder: {layers: 2}\n", FAMILIES, "model.architecture=bag") == [
        "x.yaml:3: model.encoder.layers belongs to architecture lstm or gru; architecture is bag."
    ]


def test_other_mistakes_in_a_family_are_explained_by_that_family_alone(tmp_path):
    text = "  architecture: bag\n  encoder: {poolng: max, units: x}\n  embedding: {sizes: 3}\n"
    assert refusal(tmp_path, text) == [
        "x.yaml:4: unknown key `poolng` in `model.encoder`; did you mean `pooling`?",
        "x.yaml:4: model.encoder.units is 'x'; it must be a whole number.",
        "x.yaml:5: unknown key `sizes` in `model.embedding`; did you mean `size`?",
    ]
    assert refusal(tmp_path, "  architecture: bag\n  head: 3\n") == [
        "x.yaml:4: unknown key `head` in `model`; did you mean `heads`?"
    ]


@pytest.mark.parametrize("families", [FAMILIES, (RecurrentModel,)])
@pytest.mark.parametrize("value", ["3", "[lstm]", "null"])
def test_a_value_that_is_no_architecture_lists_those_that_are(tmp_path, families, value):
    (line,) = refusal(tmp_path, f"  architecture: {value}\n", families)
    names = "lstm, gru, bag" if BagModel in families else "lstm, gru"
    assert line.startswith("x.yaml:3: model.architecture is ") and f"choose from {names}" in line


@pytest.mark.parametrize("value", ["3", "[1]", "null"])
def test_a_model_that_is_not_a_section_is_refused(tmp_path, value):
    (line,) = refusal(tmp_path, "", FAMILIES, f"model={value}")
    assert "it must be a section with keys of its own" in line


def test_the_type_of_a_config_is_the_same_each_time():
    assert config_type() is config_type((RecurrentModel, TransformerModel))
    assert config_type() is not config_type(FAMILIES)
    assert resolved_config_type(FAMILIES) is resolved_config_type(FAMILIES)


def test_settings_of_a_transformer_that_do_not_fit_are_named(tmp_path):
    text = "  architecture: transformer\n  heads: 3\n  max_positions: 9\n  embedding: {size: 5}\n"
    assert refusal(tmp_path, text, (RecurrentModel, TransformerModel)) == [
        "x.yaml:4: model.heads must divide embedding.size, 5.",
        "x.yaml:5: model.max_positions is used by `positions: learned` only.",
        "x.yaml:6: model.embedding.size must be even for sinusoidal positions.",
    ]
    text = "  architecture: transformer\n  positions: learned\n  max_positions: 9\n"
    too_long = "decoding.max_source_length=9"
    assert refusal(tmp_path, text, (RecurrentModel, TransformerModel), too_long) == [
        "--set decoding.max_source_length: decoding.max_source_length is 9, but"
        " model.max_positions allows 8 tokens and `</s>`.",
    ]
    path = tmp_path / "x.yaml"
    path.write_text(f"data: {{train: {{tsv: a}}}}\nmodel:\n{text}")
    config = load_config(path)
    assert override_decoding(config, max_source_length=8).max_source_length == 8
    with pytest.raises(ConfigError) as caught:
        override_decoding(config, max_source_length=9)
    assert caught.value.message == (
        "--max-source-length: decoding.max_source_length is 9, but model.max_positions allows 8"
        " tokens and `</s>`."
    )
