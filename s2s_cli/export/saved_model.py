"""A SavedModel with the search inside: ids in, ids out."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from s2s_cli.decoding.model_search import search_of
from s2s_cli.export.description import write_description
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Run
from s2s_cli.schema import Config


def write(folder: Path, seq2seq: Seq2Seq, run: Run, config: Config) -> None:
    """Writes the SavedModel and what goes with it.

    Its signature `serve`: source_ids (B,S) int32, `</s>` behind each sentence
    and 0 on the right → ids (B,L) int32, `</s>` included where it was reached,
    and log_probability (B,) float32, of the best hypothesis that the decoding section
    of the config finds.
    """
    search = search_of(seq2seq, config.decoding, drops=False)

    def serve(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        found = search(source_ids)
        return {"ids": found.ids[:, 0], "log_probability": found.log_probability[:, 0]}

    archive = keras.export.ExportArchive()
    archive.track(seq2seq.encoder)
    archive.track(seq2seq.decoder)
    signature = [tf.TensorSpec((None, None), tf.int32, name="source_ids")]
    archive.add_endpoint("serve", serve, input_signature=signature)
    archive.write_out(folder / "saved_model", verbose=False)
    write_description(folder, "saved_model", run, config)
