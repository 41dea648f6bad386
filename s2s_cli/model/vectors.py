"""Start values of an embedding table, read from a file."""

from __future__ import annotations

import keras
import numpy as np

from s2s_cli.errors import DataError
from s2s_cli.events import VectorsMatched
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.schema import SideFiles
from s2s_cli.text.corpus import read_lines
from s2s_cli.text.tokenizer import JOINER, SPECIAL_TOKENS, Tokenizer

WORD_START = "\u2581"


def start_from_vectors(
    seq2seq: Seq2Seq, files: SideFiles, source: Tokenizer, target: Tokenizer
) -> list[VectorsMatched]:
    """Writes the vectors of `files` into the tables; rows without one keep their start values.

    A shared table takes the target's file last. Raises DataError where a file
    does not fit the table.
    """
    tables = seq2seq.layers.source_embedding, seq2seq.layers.target_embedding
    sides = zip((files.source, files.target), tables, (source, target), strict=True)
    found = []
    for path, table, tokenizer in sides:
        if path is None:
            continue
        values = np.array(keras.ops.convert_to_numpy(table.embeddings))
        if path.endswith(".npy"):
            matched = _array(path, values)
        else:
            matched = _word_vectors(path, values, tokenizer.pieces())
        table.embeddings.assign(values)
        report = VectorsMatched(path, matched, len(values))
        if report not in found:
            found.append(report)
    return found


def _array(path: str, values: np.ndarray) -> int:
    """Fills `values` (types, size) from an .npy file of that shape."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an .npy array: {error}.") from None
    if array.shape != values.shape:
        raise DataError(
            f"{path}: the array is of shape {array.shape}, the table of {values.shape}.",
            "Rows are types in the order of the run's tokenizer/*.vocab; columns are model.embedding.size.",
        )
    values[:] = array
    return len(values)


def _word_vectors(path: str, values: np.ndarray, pieces: list[str]) -> int:
    """Fills the rows of `values` (types, size) whose piece stands in a text file of vectors."""
    rows: dict[str, list[int]] = {}
    for row in range(SPECIAL_TOKENS, len(pieces)):
        for name in _names(pieces[row]):
            rows.setdefault(name, []).append(row)
    matched: set[int] = set()
    for number, line in enumerate(read_lines(path), start=1):
        name, *numbers = line.rstrip().split(" ")
        if number == 1:
            # A header says how many vectors there are, and their size.
            is_header = len(numbers) == 1 and numbers[0].isdecimal()
            size = int(numbers[0]) if is_header else len(numbers)
            if size != values.shape[1]:
                raise DataError(
                    f"{path}:1: the vectors have {size} values;"
                    f" model.embedding.size is {values.shape[1]}.",
                    f"Set model.embedding.size to {size}.",
                )
            if is_header:
                continue
        # A name with a space in it, as some files have, is no piece.
        if name not in rows or len(numbers) != values.shape[1]:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            raise DataError(
                f"{path}:{number}: the vector of {name!r} is not made of numbers."
            ) from None
        for row in rows[name]:
            # A vector for the piece itself is closer than one for the word in it.
            if row not in matched or name == pieces[row]:
                values[row] = vector
        matched.update(rows[name])
    return len(matched)


def _names(piece: str) -> set[str]:
    """What a piece may be called in a file of vectors: itself, or the word that it begins."""
    return {piece, piece.removeprefix(WORD_START).removeprefix(JOINER)} - {""}
