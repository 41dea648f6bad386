"""SentencePiece for every level: learn a vocabulary, encode to ids, decode to text."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import regex
import sentencepiece

from s2s_cli.errors import DataError, RunError, S2SError
from s2s_cli.files import write_bytes, write_text
from s2s_cli.schema import Tokenizer as TokenizerConfig

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = 4
# A vocabulary of a million pieces takes some twenty million bytes.
MOST_BYTES = 1 << 28

# Marks, at the word level, a token that stood right behind the one before it:
# the character tie, which no Unicode normalisation changes.
JOINER = "\u2040"
# SentencePiece refuses lone surrogates, and takes a NUL for `<pad>`.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# Where a word and punctuation (or a symbol) meet with no space between them.
TOKEN_BOUNDARY = r"(?<=[\p{P}\p{S}])(?=[^\p{P}\p{S}\s])|(?<=[^\p{P}\p{S}\s])(?=[\p{P}\p{S}])"


class Tokenizer:
    """One vocabulary. Ids: `<pad>` 0, `<unk>` 1, `<s>` 2, `</s>` 3, then the pieces."""

    def __init__(self, model: bytes, type: str):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._joins = type == "word"
        self.size: int = self._processor.get_piece_size()

    @classmethod
    def load(cls, path: Path, type: str, sha256: str | None = None) -> Tokenizer:
        """Reads a SentencePiece model; RunError where it is missing, damaged, or of another sum."""
        hint = "`s2s train` on this run restores it from a checkpoint."
        try:
            if path.stat().st_size > MOST_BYTES:
                raise RunError(f"{path}: the tokenizer is larger than {MOST_BYTES:,} bytes.", hint)
            model = path.read_bytes()
            if sha256 not in (None, hashlib.sha256(model).hexdigest()):
                raise RunError(f"{path}: the tokenizer is not the one of the checkpoint.", hint)
            tokenizer = cls(model, type) if model else None
        except (OSError, RuntimeError) as error:
            raise RunError(f"{path}: the tokenizer cannot be read: {error}.", hint) from None
        if tokenizer is None or not tokenizer._has_special_tokens():
            raise RunError(f"{path}: this is no tokenizer that s2s made.", hint)
        return tokenizer

    def _has_special_tokens(self) -> bool:
        """Whether the ids that mean something special are where they belong."""
        of = self._processor
        ids = (of.pad_id(), of.unk_id(), of.bos_id(), of.eos_id())
        return ids == (PAD, UNK, BOS, EOS) and self.size > SPECIAL_TOKENS

    def encode(self, sentences: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each sentence, without `<s>` and `</s>`."""
        sentences = [_NO_TEXT.sub("\ufffd", sentence) for sentence in sentences]
        if self._joins:
            sentences = [separate_punctuation(sentence) for sentence in sentences]
        return self._processor.encode(sentences, num_threads=threads)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of ids; special ids say nothing."""
        plain = [[int(i) for i in row if i == UNK or i >= SPECIAL_TOKENS] for row in ids]
        sentences = self._processor.decode(plain)
        if self._joins:
            sentences = [sentence.replace(" " + JOINER, "") for sentence in sentences]
        return sentences

    def pieces(self) -> list[str]:
        """Every piece, by id."""
        return [self._processor.id_to_piece(index) for index in range(self.size)]


def separate_punctuation(sentence: str) -> str:
    """`Don't go.` becomes `Don ⁀' ⁀t go ⁀.`, which decode undoes."""
    return regex.sub(TOKEN_BOUNDARY, " " + JOINER, sentence.replace(JOINER, " "))


def learn(
    sentences: Iterable[str], config: TokenizerConfig, path: Path, *, seed: int, threads: int
) -> Tokenizer:
    """Learns a vocabulary from sentences, each read once, and writes it to `path`.

    The readable vocabulary goes beside it, as `.vocab`: a piece and its score a
    line. Raises DataError where the sentences do not support the vocabulary.
    """
    closed = config.type in ("word", "char")
    rule = config.normalization + ("_cf" if config.lowercase else "")
    model = io.BytesIO()
    unreadable: list[S2SError] = []
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_prepared(sentences, config.type, unreadable),
            model_writer=model,
            model_type=config.type,
            vocab_size=config.vocab_size,
            hard_vocab_limit=not closed,
            character_coverage=config.character_coverage,
            normalization_rule_name=rule,
            input_sentence_size=config.input_sentence_size,
            shuffle_input_sentence=True,
            num_threads=threads,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise (unreadable[0] if unreadable else _refusal(str(error), config)) from None
    tokenizer = Tokenizer(model.getvalue(), config.type)
    scores = (tokenizer._processor.get_score(index) for index in range(tokenizer.size))
    lines = (
        f"{piece}\t{score:.6g}" for piece, score in zip(tokenizer.pieces(), scores, strict=True)
    )
    write_text(path.with_suffix(".vocab"), "\n".join(lines) + "\n")
    write_bytes(path, model.getvalue())
    return tokenizer


def _prepared(sentences: Iterable[str], type: str, unreadable: list[S2SError]) -> Iterator[str]:
    """The sentences to learn from; keeps an error, which SentencePiece would wrap in its own."""
    try:
        yield from map(separate_punctuation, sentences) if type == "word" else sentences
    except S2SError as error:
        unreadable.append(error)
        raise


def _refusal(reason: str, config: TokenizerConfig) -> DataError:
    most = re.search(r"value <= (\d+)", reason)
    least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason)
    if most:
        return DataError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the training sentences support"
            f" no more than {most[1]} types.",
            f"Set tokenizer.vocab_size to {most[1]} or less.",
        )
    if least:
        return DataError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the characters of the training"
            f" sentences alone need {least[1]} types.",
            f"Set tokenizer.vocab_size above {least[1]}, or lower tokenizer.character_coverage.",
        )
    return DataError(f"SentencePiece could not learn a vocabulary: {reason}")
