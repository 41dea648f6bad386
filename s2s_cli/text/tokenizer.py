"""SentencePiece for every tokenizer type: learn a vocabulary, encode to ids, decode to text.

A SentencePiece model normalizes what it encodes. Source and target have rules of their own, so there
are two models, also where both sides share a vocabulary: they differ in the rule alone. A vocabulary
is learned from text that is normalized already.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import DataError, RunError, S2SError
from s2s_cli.files import write_bytes, write_text
from s2s_cli.text.marks import WORD_START, after_decoding, before_encoding
from s2s_cli.text.subwords import Vocabulary, bpe_dropout, unigram_sampling

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = 4
# A larger share of `<unk>` among the tokens of a corpus is reported.
MANY_UNKNOWN = 0.02
# A vocabulary of a million tokens takes some twenty million bytes.
MAX_BYTES = 1 << 28
# Bytes; SentencePiece would leave lines of more than 4,192 out of the vocabulary in silence.
LONGEST_LINE = 1 << 30
# Sentences between two reports of progress.
REPORT_EVERY = 10_000

# Sentences and a generator → ids, cut at random.
Sampler = Callable[[Sequence[str], Random], list[list[int]]]


class Tokenizer:
    """One vocabulary. Ids: `<pad>` 0, `<unk>` 1, `<s>` 2, `</s>` 3, then all other tokens."""

    def __init__(self, model: bytes, type: str):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._type, self._is_word_level = type, type == "word"
        self.vocab_size: int = self._processor.get_piece_size()
        self.fingerprint: str = hashlib.sha256(type.encode() + b"\n" + model).hexdigest()
        """Identifies the vocabulary and how text is cut by it."""
        self._model = model

    @classmethod
    def load(cls, path: Path, type: str, sha256: str | None = None) -> Tokenizer:
        """Reads a SentencePiece model.

        Raises RunError if it is missing or damaged, or if `sha256` is given and not its checksum.
        """
        hint = "`s2s train` on this run restores it from a checkpoint."
        try:
            if path.stat().st_size > MAX_BYTES:
                raise RunError(f"{path}: the tokenizer is larger than {MAX_BYTES:,} bytes.", hint)
            model = path.read_bytes()
            if sha256 not in (None, hashlib.sha256(model).hexdigest()):
                raise RunError(f"{path}: the tokenizer is not the one of the checkpoint.", hint)
            tokenizer = cls(model, type) if model else None
        except (OSError, RuntimeError) as error:
            raise RunError(f"{path}: the tokenizer cannot be read: {error}.", hint) from None
        if tokenizer is None or not tokenizer._has_special_tokens():
            raise RunError(f"{path}: this is not a tokenizer made by s2s.", hint)
        return tokenizer

    def _has_special_tokens(self) -> bool:
        """Whether the special tokens have the ids that s2s gives them."""
        of = self._processor
        ids = (of.pad_id(), of.unk_id(), of.bos_id(), of.eos_id())
        return ids == (PAD, UNK, BOS, EOS) and self.vocab_size > SPECIAL_TOKENS

    def is_equal_to(self, other: Tokenizer) -> bool:
        """Whether both have the same tokens and cut every text alike.

        Equal tokenizers have different fingerprints where another number of threads learned them.
        """
        return self._without_threads() == other._without_threads()

    def _without_threads(self) -> tuple[bool, bytes]:
        """All of the tokenizer but the number of threads that learned it."""
        proto = sentencepiece_model_pb2.ModelProto.FromString(self._model)
        proto.trainer_spec.ClearField("num_threads")
        return self._is_word_level, proto.SerializeToString(deterministic=True)

    def encode(self, sentences: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each sentence, without `<s>` and `</s>`."""
        sentences = [before_encoding(s, is_word_level=self._is_word_level) for s in sentences]
        ids: list[list[int]] = self._processor.encode(sentences, num_threads=threads)
        return ids

    def sampler(self, strength: float) -> Sampler:
        """The function that cuts sentences at random into ids: BPE leaves out this share of its
        merges, and unigram draws from p**strength; see `s2s_cli.text.subwords`."""
        make = bpe_dropout if self._type == "bpe" else unigram_sampling
        cut = make(self._plain_tokens(), strength)

        def sample(sentences: Sequence[str], random: Random) -> list[list[int]]:
            texts = self._processor.normalize(
                [before_encoding(s, is_word_level=False) for s in sentences]
            )
            rows = ([i for word in _words(text) for i in cut(word, random)] for text in texts)
            return list(map(_joined_unknown, rows))

        return sample

    def _plain_tokens(self) -> Vocabulary:
        of = self._processor
        plain = [i for i in range(self.vocab_size) if not of.is_control(i) and not of.is_unknown(i)]
        ids = {of.id_to_piece(i): i for i in plain}
        return Vocabulary(ids, {token: of.get_score(i) for token, i in ids.items()}, UNK)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of ids; special tokens except `<unk>` are dropped."""
        plain = [[int(i) for i in row if i == UNK or i >= SPECIAL_TOKENS] for row in ids]
        sentences: list[str] = self._processor.decode(plain, num_threads=1)
        return [after_decoding(s, is_word_level=self._is_word_level) for s in sentences]

    def tag_id(self, tag: str) -> int:
        """The id of a tag, a token that no text is taken for. Raises DataError if there is none."""
        found: int = self._processor.piece_to_id(tag)
        if found < SPECIAL_TOKENS or not self._processor.is_control(found):
            raise DataError(
                f"the vocabulary has no token for the tag {tag}, which data.train has as source_tag.",
                "Take another tag, or learn a vocabulary that has it (with another run's weights:"
                " training.initialize_from.tokenizer: false).",
            )
        return found

    def surfaces(self, sentence: str) -> list[str]:
        """The text of each token of a sentence as it stands there, white space before it included.

        Together they are the sentence, as `before_encoding` changes it.
        """
        sentence = before_encoding(sentence, is_word_level=self._is_word_level)
        return [
            piece.surface for piece in self._processor.encode(sentence, return_type="proto").pieces
        ]

    def original(self, text: str) -> str:
        """The text of which `before_encoding` made a part of `surfaces`."""
        return after_decoding(text, is_word_level=self._is_word_level)

    def join(self, tokens: Sequence[str]) -> str:
        """The text of tokens, of which some may be no tokens of the vocabulary."""
        text = "".join(tokens).replace(WORD_START, " ")
        return self.original(" ".join(text.split()))

    def tokens(self) -> list[str]:
        """Every token, by id."""
        return [self._processor.id_to_piece(index) for index in range(self.vocab_size)]

    def _vocabulary_text(self) -> str:
        """A token and its score a line."""
        scores = (self._processor.get_score(index) for index in range(self.vocab_size))
        rows = zip(self.tokens(), scores, strict=True)
        return "".join(f"{token}\t{score:.6g}\n" for token, score in rows)


def _words(text: str) -> list[str]:
    """The words of a normalized sentence, each with the mark that begins it."""
    return re.findall("▁?[^▁]+|▁", text)


def _joined_unknown(ids: list[int]) -> list[int]:
    """Several `<unk>` in a row become one, as SentencePiece writes them."""
    return [i for i, last in zip(ids, [PAD, *ids], strict=False) if i != UNK or last != UNK]


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of both sides; one and the same if the vocabulary is shared."""

    source: Tokenizer
    target: Tokenizer

    @classmethod
    def load(
        cls,
        source: Path,
        target: Path,
        type: str,
        sha256: Callable[[Path], str | None] = lambda path: None,
    ) -> Tokenizers:
        """Reads one model for each side; equal paths are read once.

        `sha256(path)` gives the checksum that a file must have, or None for any. Raises RunError.
        """
        loaded = {
            path: Tokenizer.load(path, type, sha256(path))
            for path in dict.fromkeys((source, target))
        }
        return cls(loaded[source], loaded[target])

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Numbers of tokens, of the source and of the target."""
        return self.source.vocab_size, self.target.vocab_size


def normalization_rule(config: TokenizerConfig, side: str) -> str:
    """SentencePiece's name for how text of `source` or `target` is normalized."""
    if side == "target":
        return config.target_normalization
    return config.normalization + ("_cf" if config.lowercase else "")


def normalizer(config: TokenizerConfig, side: str) -> Callable[[str], str]:
    """What the tokenizer of a side does with a sentence first; white space is made single spaces."""
    rule = sentencepiece.SentencePieceNormalizer(
        rule_name=normalization_rule(config, side),
        add_dummy_prefix=False,
        escape_whitespaces=False,
        remove_extra_whitespaces=True,
    )
    return rule.normalize


def learn(
    sentences: Iterable[str],
    config: TokenizerConfig,
    path: Path,
    *,
    side: str = "source",
    tags: Sequence[str] = (),
    seed: int,
    threads: int,
    on_progress: Callable[[int], None] = lambda sentences_read: None,
) -> Tokenizer:
    """Learns the vocabulary of a side from its sentences, each read once, and writes it to `path`.

    A readable list of tokens and scores is written beside it, with the suffix `.vocab`. `tags` become
    tokens that no text is taken for.
    `on_progress(sentences_read)` is called while sentences are read and once at their end; what
    it raises ends the learning. Raises DataError if the sentences do not support the vocabulary.
    """
    sided = ((side, sentence) for sentence in sentences)
    model = _train(sided, config, tags, seed, threads, on_progress)
    return _write(model, config, side, path)


def learn_shared(
    sentences: Iterable[tuple[str, str]],
    config: TokenizerConfig,
    paths: Mapping[str, Path],
    *,
    tags: Sequence[str] = (),
    seed: int,
    threads: int,
    on_progress: Callable[[int], None] = lambda sentences_read: None,
) -> Tokenizers:
    """Learns one vocabulary from (side, sentence), and writes the tokenizer of each side to its path.

    Otherwise as `learn`.
    """
    model = _train(sentences, config, tags, seed, threads, on_progress)
    return Tokenizers(*(_write(model, config, side, paths[side]) for side in ("source", "target")))


def _write(model: bytes, config: TokenizerConfig, side: str, path: Path) -> Tokenizer:
    """Writes a model that normalizes as the config says for a side, and its vocabulary."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    rule = sentencepiece.SentencePieceNormalizer(rule_name=normalization_rule(config, side))
    proto.normalizer_spec.MergeFromString(rule.serialized_normalizer_spec())
    model = proto.SerializeToString(deterministic=True)
    tokenizer = Tokenizer(model, config.type)
    write_text(path.with_suffix(".vocab"), tokenizer._vocabulary_text())
    write_bytes(path, model)
    return tokenizer


def _train(
    sentences: Iterable[tuple[str, str]],
    config: TokenizerConfig,
    tags: Sequence[str],
    seed: int,
    threads: int,
    on_progress: Callable[[int], None],
) -> bytes:
    """A SentencePiece model of normalized sentences, which normalizes nothing itself."""
    is_limit = config.type in ("word", "char")  # vocab_size is then a limit, not a demand
    model = io.BytesIO()
    given = _TrainingSentences(sentences, config, on_progress)
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(given),
            model_writer=model,
            model_type=config.type,
            vocab_size=config.vocab_size,
            hard_vocab_limit=not is_limit,
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",
            input_sentence_size=config.input_sentence_size,
            max_sentence_length=LONGEST_LINE,
            shuffle_input_sentence=True,
            num_threads=threads,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            control_symbols=list(tags),
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise given.error or _explained(str(error), config) from None
    return model.getvalue()


class _TrainingSentences:
    """The sentences to learn from. SentencePiece hides an error behind its own; it is saved here."""

    def __init__(
        self,
        sentences: Iterable[tuple[str, str]],
        config: TokenizerConfig,
        on_progress: Callable[[int], None],
    ):
        is_word = config.type == "word"
        normalize = {side: normalizer(config, side) for side in ("source", "target")}
        self._sentences = (
            normalize[side](before_encoding(text, is_word_level=is_word))
            for side, text in sentences
        )
        self._on_progress = on_progress
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        number = 0
        try:
            for number, sentence in enumerate(self._sentences, start=1):
                if number % REPORT_EVERY == 0:
                    self._on_progress(number)
                yield sentence
            self._on_progress(number)
        except Exception as error:
            self.error = error
            raise


def _explained(reason: str, config: TokenizerConfig) -> S2SError:
    """What to do about a vocabulary that SentencePiece refuses to learn.

    SentencePiece gives its reasons only as text. Text that is not recognised is shown as it is.
    """
    too_large = re.search(r"value <= (\d+)", reason)
    too_small = re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason)
    if too_large:
        return DataError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the training sentences support no"
            f" more than {too_large[1]} tokens.",
            f"Set tokenizer.vocab_size to {too_large[1]} or less.",
        )
    if too_small:
        return DataError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the characters of the training"
            f" sentences alone need {too_small[1]} tokens.",
            f"Set tokenizer.vocab_size above {too_small[1]}, or lower tokenizer.character_coverage.",
        )
    return DataError(f"SentencePiece could not learn a vocabulary: {reason}")
