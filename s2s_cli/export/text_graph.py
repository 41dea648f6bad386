"""A search with its tokenizers inside the graph: strings in, strings out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.errors import pip_install_hint
from s2s_cli.export.serving import ServingFunction
from s2s_cli.text.marks import JOINER, WORD_START
from s2s_cli.text.tokenizer import EOS, UNK

TextFunction = Callable[[tf.Tensor], dict[str, tf.Tensor]]
TEXTS = tf.TensorSpec((None,), tf.string, name="texts")
# What str.strip() removes.
_SPACE = r"[\s\p{Z}\v\x1c-\x1f\x85]+"
_ESCAPE = "\u2582"  # see `s2s_cli.text.marks`


def why_left_out(config: ResolvedConfig) -> str | None:
    """A sentence that says why there can be no such graph, None where there can."""
    if config.tokenizer.type == "word":
        return (
            "text/ is left out: a vocabulary of words needs a regular expression that TensorFlow does"
            " not have."
        )
    if importlib.util.find_spec("tensorflow_text") is None:
        return f"text/ is left out: it needs tensorflow-text; {pip_install_hint('text')}."
    return None


class TextGraph(tf.Module):  # type: ignore[misc]
    """`__call__` is the function to export; the object holds what it needs."""

    def __init__(self, search: ServingFunction, folder: Path, longest: int):
        """`folder` has the SentencePiece models; sources are cut after `longest` tokens."""
        from tensorflow_text import SentencepieceTokenizer

        super().__init__()
        self._search, self._longest = search, longest
        self._source, self._target = (
            # Without a name of its own, a loaded graph would have one tokenizer for both sides.
            SentencepieceTokenizer((folder / f"{side}.model").read_bytes(), name=side)
            for side in ("source", "target")
        )

    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """texts (N,) string → text (N,) string, log_probability (N,) float32, ids (N,L) int32, and
        was_cut (N,) bool, where a source had more tokens than are translated."""
        tokens = self._source.tokenize(_before_encoding(texts))
        counts = tokens.row_lengths()
        ends = tf.fill([tf.size(texts), 1], EOS)
        rows = tf.concat([tokens[:, : self._longest], ends], axis=1)
        found = self._search(rows.to_tensor(0))
        ids = found["ids"]
        kept = tf.ragged.boolean_mask(ids, (ids == UNK) | (ids > EOS))
        text = _after_decoding(self._target.detokenize(kept))
        return {
            "text": tf.where(counts > 0, text, ""),
            "log_probability": found["log_probability"],
            "ids": ids,
            "was_cut": counts > self._longest,
        }


def _before_encoding(texts: tf.Tensor) -> tf.Tensor:
    """`s2s_cli.text.marks.before_encoding` of texts without white space around them."""
    texts = tf.strings.regex_replace(texts, f"^{_SPACE}|{_SPACE}$", "")
    texts = tf.strings.regex_replace(texts, r"\x00", "\ufffd")
    for number, mark in enumerate((_ESCAPE, WORD_START, JOINER)):
        texts = tf.strings.regex_replace(texts, mark, f"{_ESCAPE}{number}")
    return texts


def _after_decoding(texts: tf.Tensor) -> tf.Tensor:
    """`s2s_cli.text.marks.after_decoding`; the escape last, as it may begin another mark."""
    for number, mark in ((1, WORD_START), (2, JOINER), (0, _ESCAPE)):
        texts = tf.strings.regex_replace(texts, f"{_ESCAPE}{number}", mark)
    return texts
