"""A SavedModel with the search inside: ids in, ids out."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.decoding.model_search import make_search
from s2s_cli.export.description import refuse_settings, write_description
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run

NAME = "saved_model"
# What proves the artefact in a fresh process: `found` gets the ids for each of `sources`.
RUNNER = """
import tensorflow as tf
model = tf.saved_model.load(str(folder / "saved_model"))
found = []
for ids in sources:
    row = model.serve(tf.constant([[*ids, 3]], tf.int32))["ids"][0].numpy().tolist()
    found.append([i for i in row if i != 0])
"""


def search_settings(decoding: Decoding) -> Decoding:
    """The search in the graph: that of the run, of which the best hypothesis is returned.

    Raises ExportError for what is not part of it.
    """
    if decoding.unknown == "replace":  # in the text, which is made outside of the graph
        refuse_settings(NAME, decoding, ["unknown"])
    refuse_settings(NAME, decoding, ["sampling"])
    return decoding.model_copy(update={"n_best": 1})


def write(folder: Path, seq2seq: Seq2Seq, run: Run, config: ResolvedConfig) -> str:
    """Writes the SavedModel and what goes with it; nothing is left out.

    Its signature `serve`: source_ids (B,S) int32, `</s>` after each sentence and 0 on the
    right → ids (B,L) int32, with `</s>` where it was reached, and log_probability (B,) float32,
    of the best hypothesis that the decoding section of the config finds.
    """
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
    write_description(folder, NAME, run, config)
    return ""
