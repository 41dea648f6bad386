"""`s2s train`: prepares the data, trains or resumes, saves; yields what happens."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2s_cli import runtime
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import DataError, RunError
from s2s_cli.evaluation import score_translations
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.vectors import Matched, start_from_vectors
from s2s_cli.run import Run, write_text
from s2s_cli.schema import Config, FileFingerprint, Resolved
from s2s_cli.text.batches import Plan, batches, plan_epoch, plan_in_order
from s2s_cli.text.corpus import Pair, fingerprint, training_pairs, validation_pairs
from s2s_cli.text.store import Counts, TokenStore, build_store, open_store
from s2s_cli.text.tokenizer import Tokenizer, learn
from s2s_cli.training import loop
from s2s_cli.training.checkpoint import load_checkpoint, save_checkpoint
from s2s_cli.training.step import TrainingStep, ValidationLoss

# Settings that may differ when a run goes on: none of them touches a weight.
FREE_SETTINGS = (
    "training.epochs",
    "training.max_steps",
    "training.max_minutes",
    "training.checkpoint_steps",
    "training.keep_checkpoints",
    "training.log_steps",
    "training.sample_translations",
    "training.tensorboard",
    "training.early_stopping.patience",
    "decoding.",
)
EXPORT_SAMPLES = 100


@dataclass(frozen=True)
class TokenizerLearned:
    """A vocabulary was learned; `side` is source, target or shared."""

    side: str
    types: int


@dataclass(frozen=True)
class DataReady:
    """The token stores are open."""

    train: Counts
    validation: Counts | None


@dataclass(frozen=True)
class VectorsMatched:
    """Start values were read from a file."""

    matched: Matched


@dataclass(frozen=True)
class ModelReady:
    """The model is built, and training begins at `step`."""

    run: Path
    parameters: int
    architecture: str
    precision: str
    step: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Tokenizers:
    """One for each side, the same one where they are shared."""

    source: Tokenizer
    target: Tokenizer


PreparationEvent = TokenizerLearned | DataReady | VectorsMatched | ModelReady


def train(
    run: Run, config: Config, *, threads: int, stop_requested: Callable[[], bool] = lambda: False
) -> Iterator[PreparationEvent | loop.Event]:
    """Trains `config` in `run`; a run that has begun goes on where it was saved."""
    files = _fingerprints(config)
    config, changes = _settle(run, config, files)
    tokenizers = yield from _tokenizers(run, config, threads)
    stores = _stores(run, config, tokenizers, threads)
    yield DataReady(stores[0].counts, stores[1].counts if stores[1] else None)
    assert config.resolved is not None
    seq2seq = Seq2Seq(
        config.model, tokenizers.source.size, tokenizers.target.size, config.resolved.precision
    )
    take_step = TrainingStep(seq2seq, config.training, tf.distribute.get_strategy())
    latest = run.pointed("latest")
    if latest:
        state = load_checkpoint(latest, seq2seq, take_step.optimizer)
    else:
        state = loop.TrainingState()
        vectors = config.model.embedding.files
        for matched in start_from_vectors(seq2seq, vectors, tokenizers.source, tokenizers.target):
            yield VectorsMatched(matched)
    _cut_back_metrics(run, state.step)
    yield ModelReady(
        run=run.root,
        parameters=seq2seq.training_model.count_params(),
        architecture=config.model.architecture,
        precision=config.resolved.precision,
        step=state.step,
        changes=changes,
    )
    _keep_samples(run, stores[1] or stores[0])
    validate = _validation(run, config, seq2seq, tokenizers, stores[1]) if stores[1] else None
    events = loop.train(
        take_step,
        stores[0],
        _plan(stores[0], config),
        config.training,
        state,
        validate=validate,
        stop_requested=stop_requested,
    )
    with _Recorder(run, config.training.tensorboard) as record:
        for event in events:
            if isinstance(event, loop.CheckpointDue):
                _save(run, config, seq2seq, take_step, state, event)
            record(event)
            yield event


def _plan(store: TokenStore, config: Config) -> Callable[[int], Plan]:
    training = config.training
    weights = [corpus.mixing_weight for corpus in config.data.train]

    def plan(epoch: int) -> Plan:
        return plan_epoch(
            store,
            seed=training.seed,
            epoch=epoch,
            batch_tokens=training.batch_tokens,
            batch_size=training.batch_size,
            mixing_weights=[w for w in weights if w is not None] or None,
        )

    return plan


# What a run is made from.


def _fingerprints(config: Config) -> list[FileFingerprint]:
    """Every file that the training reads, with the SHA-256 of its content."""
    settings = _flat(config.model_dump(mode="json", include={"data", "model"}))
    files = {key: value for key, value in settings.items() if _is_path(key) and value}
    return [
        FileFingerprint(key=key, path=path, sha256=fingerprint(path)) for key, path in files.items()
    ]


def _settle(
    run: Run, config: Config, files: list[FileFingerprint]
) -> tuple[Config, tuple[str, ...]]:
    """The config to train with: a new run gets its own, an old one keeps what it resolved.

    Raises RunError where the run was made from another config or other data.
    """
    if not run.exists:
        versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")}
        resolved = Resolved(
            precision=runtime.choose_precision(config.training.precision),
            files=files,
            versions={**versions, "sentencepiece": importlib.metadata.version("sentencepiece")},
        )
        config = config.model_copy(update={"resolved": resolved})
        run.create(config)
        return config, ()
    old = run.config()
    assert old.resolved is not None
    changes = _changes(old, config)
    contents = {file.key: file.sha256 for file in old.resolved.files}
    refused = [change for key, change in changes.items() if not key.startswith(FREE_SETTINGS)]
    refused += [
        f"{file.key}: {file.path} holds something else than when the run began"
        for file in files
        if contents.get(file.key) not in (None, file.sha256)
    ]
    if refused:
        raise RunError(
            f"{run.root}: this run was made from another config:\n  " + "\n  ".join(refused),
            "Train in another directory with --run, or undo these changes to go on with this run.",
        )
    if changes:
        config = config.model_copy(update={"resolved": old.resolved})
        run.write_config(config)
        return config, tuple(changes.values())
    return old, ()


def _changes(old: Config, new: Config) -> dict[str, str]:
    """What differs between two configs, as `key: old → new`; paths aside."""
    before = _flat(old.model_dump(mode="json", exclude={"resolved"}))
    after = _flat(new.model_dump(mode="json", exclude={"resolved"}))
    keys = dict.fromkeys([*before, *after])
    return {
        key: f"{key}: {json.dumps(before.get(key))} → {json.dumps(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
        and not (_is_path(key) and before.get(key) and after.get(key))
    }


def _is_path(key: str) -> bool:
    return key.startswith(("data.", "model.embedding.vectors")) and key.rpartition(".")[2] in (
        "source",
        "target",
        "tsv",
        "vectors",
    )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
    if isinstance(values, dict) and values:
        items = values.items()
    elif isinstance(values, list) and values:
        items = ((str(index), value) for index, value in enumerate(values))
    else:
        return {prefix: values}
    return {
        key: leaf
        for name, value in items
        for key, leaf in _flat(value, f"{prefix}.{name}" if prefix else name).items()
    }


# Text.


def _tokenizers(run: Run, config: Config, threads: int) -> Iterator[TokenizerLearned]:
    """Loads the tokenizers of the run, or learns them; returns them."""
    shared = config.tokenizer.shared
    found = {}
    for side in ("shared",) if shared else ("source", "target"):
        path = run.tokenizer_file(side, shared)
        if path.is_file():
            found[side] = Tokenizer.load(path, config.tokenizer.type)
            continue
        found[side] = learn(
            _sentences(config, side),
            config.tokenizer,
            path,
            seed=config.training.seed,
            threads=threads,
        )
        yield TokenizerLearned(side, found[side].size)
    if shared:
        return Tokenizers(found["shared"], found["shared"])
    return Tokenizers(found["source"], found["target"])


def _sentences(config: Config, side: str) -> Iterator[str]:
    """The training sentences of a side, or of both."""
    for pair in training_pairs(config.data, config.training.seed):
        if side != "target" and pair.source:
            yield pair.source
        if side != "source" and pair.target:
            yield pair.target


def _stores(
    run: Run, config: Config, tokenizers: Tokenizers, threads: int
) -> tuple[TokenStore, TokenStore | None]:
    """The token stores of both splits, made anew where they are not from this config."""
    data, seed = config.data, config.training.seed
    assert config.resolved is not None
    made_from = {
        "files": [file.sha256 for file in config.resolved.files],
        "data": _settings_without_paths(config),
        "tokenizer": [tokenizers.source.pieces(), tokenizers.target.pieces()],
        "normalization": config.tokenizer.model_dump(mode="json"),
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()

    def store(split: str, pairs: Iterator[Pair]) -> TokenStore:
        opened = open_store(run.store(split), key) or build_store(
            run.store(split),
            key,
            pairs,
            tokenizers.source,
            tokenizers.target,
            max_length=data.max_length,
            threads=threads,
        )
        if len(opened) == 0:
            raise DataError(
                f"No sentence pair is left to use for {split}: {opened.counts.empty_side} have an"
                f" empty side and {opened.counts.too_long} are longer than"
                f" data.max_length ({data.max_length}).",
                "Check the corpus, or raise data.max_length.",
            )
        return opened

    train_store = store("train", training_pairs(data, seed))
    if data.validation is None:
        return train_store, None
    return train_store, store("validation", validation_pairs(data, seed))


def _settings_without_paths(config: Config) -> dict[str, Any]:
    settings = _flat(config.model_dump(mode="json", include={"data"}))
    return {key: value for key, value in settings.items() if not _is_path(key)}


# Validation.


def _validation(
    run: Run, config: Config, seq2seq: Seq2Seq, tokenizers: Tokenizers, store: TokenStore
) -> loop.Validate:
    """The function that scores the model at a step on held-out pairs."""
    sources, references = map(list, zip(*store.texts(), strict=True))
    measure = ValidationLoss(seq2seq)
    plan = plan_in_order(store, batch_size=config.decoding.batch_size)
    translator = Translator(seq2seq, tokenizers.source, tokenizers.target, config.decoding)
    shown = range(0, len(sources), max(1, len(sources) // max(1, config.training.sample_translations)))

    def validate(step: int) -> loop.ValidationResult:
        metrics = measure(batches(store, plan))
        translations = [translation.text for translation in translator.translate(sources)]
        write_text(run.translations(step), "".join(f"{text}\n" for text in translations))
        scores = score_translations(translations, references)
        metrics.update({score.name: score.value for score in scores})
        samples = (loop.Sample(sources[i], references[i], translations[i]) for i in shown)
        return loop.ValidationResult(
            metrics=metrics,
            signatures={score.name: score.signature for score in scores},
            samples=tuple(itertools.islice(samples, config.training.sample_translations)),
        )

    return validate


# What a run keeps.


def _keep_samples(run: Run, store: TokenStore) -> None:
    """Keeps some source sentences, so that an export is proven without the corpora."""
    if not run.samples_file.is_file():
        sources = (source for source, _ in itertools.islice(store.texts(), EXPORT_SAMPLES))
        write_text(run.samples_file, "".join(f"{source}\n" for source in sources))


def _save(
    run: Run,
    config: Config,
    seq2seq: Seq2Seq,
    take_step: TrainingStep,
    state: loop.TrainingState,
    event: loop.CheckpointDue,
) -> None:
    """Saves the state, moves the pointers, and drops checkpoints that nothing points to."""
    checkpoint = run.checkpoint(event.step)
    save_checkpoint(checkpoint, seq2seq, take_step.optimizer, state)
    run.point("latest", checkpoint)
    if event.is_best:
        run.point("best", checkpoint)
    kept = {*run.checkpoints()[-config.training.keep_checkpoints :], run.pointed("best")}
    for old in run.checkpoints():
        if old not in kept:
            shutil.rmtree(old)


def _cut_back_metrics(run: Run, step: int) -> None:
    """Drops the lines of steps that will be taken again."""
    if not run.metrics_file.is_file():
        return
    lines = run.metrics_file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if kept != lines:
        write_text(run.metrics_file, "".join(kept))


class _Recorder:
    """Writes metrics.jsonl, and TensorBoard's files where they are asked for."""

    def __init__(self, run: Run, tensorboard: bool):
        self._file = open(run.metrics_file, "a", encoding="utf-8")
        self._summaries = tf.summary.create_file_writer(str(run.tensorboard)) if tensorboard else None

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._summaries:
            self._summaries.close()

    def __call__(self, event: loop.Event) -> None:
        """Records what has figures."""
        if isinstance(event, loop.Progress):
            figures = asdict(event)
            self._write({"event": "progress", **figures})
            self._summarize("training", figures)
        elif isinstance(event, loop.Validated):
            line = {"event": "validation", "step": event.step, "epoch": event.epoch}
            figures = {**event.result.metrics, "seconds": event.seconds}
            self._write({**line, **figures, "best": event.is_best})
            self._summarize("validation", {**line, **figures})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _summarize(self, prefix: str, figures: dict[str, Any]) -> None:
        if self._summaries is None:
            return
        with self._summaries.as_default(step=figures["step"]):
            for name, value in figures.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"{prefix}/{name}", value)
