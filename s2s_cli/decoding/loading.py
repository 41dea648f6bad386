"""The Keras models of a checkpoint, with its weights."""

from __future__ import annotations

from pathlib import Path

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.decoding.translator import load_tokenizers
from s2s_cli.model.family import VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import read_inference_weights, require_size
from s2s_cli.runs.run import Run


def load_model(run: Run, checkpoint: str = "best", precision: str = "float32") -> Seq2Seq:
    """The Keras models of a checkpoint, for inference. Raises RunError."""
    config, folder = run.config(), run.find_checkpoint(checkpoint)
    sizes = VocabSizes(*load_tokenizers(run, config, folder).vocab_sizes)
    return load_weights(config, folder, sizes, precision)


def load_weights(
    config: ResolvedConfig, folder: Path, sizes: VocabSizes, precision: str = "float32"
) -> Seq2Seq:
    """The Keras models that a config describes, with the weights of a checkpoint. Raises RunError."""
    require_size(folder, family_of(config.model).parameter_count(config.model, sizes))
    seq2seq = Seq2Seq(config.model, sizes, LayerFactory.for_inference(precision))
    seq2seq.load(read_inference_weights(folder, seq2seq.shapes))
    return seq2seq
