"""Format `saved_model`: a TensorFlow graph with the search inside; ids in, ids out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.decoding.model_search import make_search
from s2s_cli.export.format import SEARCH_SETTINGS
from s2s_cli.model.seq2seq import Seq2Seq


class SavedModel:
    """Writes a SavedModel with one signature, `serve`.

    source_ids (B,S) int32, `</s>` after each sentence and 0 on the right → ids (B,L) int32, with
    `</s>` where it was reached, and log_probability (B,) float32, of the best hypothesis.
    """

    name = "saved_model"
    packages = ("tensorflow", "numpy")
    runner = "saved_model_runner.py"
    follows = frozenset(SEARCH_SETTINGS) - {"sampling"}

    def write(self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig) -> Sequence[str]:
        """Writes the graph; nothing is left out."""
        layers = seq2seq.layers.for_inference()
        search = make_search([config.model], [layers], config.decoding, compact=False)
        limit = config.model.position_limit

        def serve(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            if limit is not None:
                message = f"source_ids may have {limit} positions at most, with </s>"
                fits = tf.debugging.assert_less_equal(tf.shape(source_ids)[1], limit, message)
                with tf.control_dependencies([fits]):
                    source_ids = tf.identity(source_ids)
            found = search(source_ids)
            return {"ids": found.ids[:, 0], "log_probability": found.log_probability[:, 0]}

        archive = keras.export.ExportArchive()
        archive.track(seq2seq.encoder)
        archive.track(seq2seq.decoder)
        signature = [tf.TensorSpec((None, None), tf.int32, name="source_ids")]
        archive.add_endpoint("serve", serve, input_signature=signature)
        archive.write_out(folder / "saved_model", verbose=False)
        return ()
