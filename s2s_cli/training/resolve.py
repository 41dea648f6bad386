"""The resolved config of a training: chosen for a new run, taken over by one that resumes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s2s_cli.config.annotations import is_file_setting
from s2s_cli.config.explain import explain
from s2s_cli.config.resolved import (
    CHOSEN,
    flatten,
    requested_settings,
    resolve_config,
)
from s2s_cli.config.schema import Config, FileFingerprint, OnResume, Resolved, ResolvedConfig
from s2s_cli.errors import ConfigError
from s2s_cli.model.family import family_of
from s2s_cli.runs.resume import find_changes, require_resumable
from s2s_cli.runs.run import Run, step_of
from s2s_cli.runtime.hardware import available_memory
from s2s_cli.runtime.precision import resolve_decoding_precision, resolve_training_precision
from s2s_cli.text.corpus import sentences, training_pairs
from s2s_cli.text.holdout import held_out_below
from s2s_cli.text.lines import fingerprint
from s2s_cli.text.plan import PLAN_VERSION
from s2s_cli.text.scripts import bleu_tokenizer
from s2s_cli.training.initialization import InitialRun

PACKAGES = ("tensorflow", "keras", "sentencepiece")
# What `batch_tokens: auto` chooses from: halved from the largest to the smallest.
MAX_BATCH_TOKENS, MIN_BATCH_TOKENS = 4096, 256
# What recipes for small corpora take; the first paper took 4,000 steps for larger models.
MAX_WARMUP_STEPS = 2000
# Another setting on which the choice for a setting depends.
DEPENDS_ON = {
    "training.schedule.warmup_steps": "training.schedule.name",
    "training.schedule.decay_steps": "training.schedule.name",
    "decoding.max_source_length": "data.max_length",
}
# Word vectors and weights of another run are read once, before the first step, so a run that
# resumes does not need them.
ONLY_AT_THE_START = ("model.embedding.vectors", "training.initialize_from")


@dataclass(frozen=True)
class Resolution:
    """The config to train with, and what changed against that of the run, a clause each."""

    config: ResolvedConfig
    changes: tuple[str, ...] = ()


def fingerprint_files(config: Config, *, resumes: bool) -> list[FileFingerprint]:
    """Every file that the training reads, with the SHA-256 of its content. Raises DataError.

    A training that resumes no longer reads those that are needed only at the start.
    """
    settings = flatten(config.model_dump(mode="json", include={"data", "model"}))
    files = {
        key: value
        for key, value in settings.items()
        if is_file_setting(type(config), key)
        and value
        and not (resumes and key.startswith(ONLY_AT_THE_START))
    }
    return [
        FileFingerprint(key=key, path=path, sha256=fingerprint(path)) for key, path in files.items()
    ]


def resolve_for_run(
    run: Run,
    config: Config,
    files: Sequence[FileFingerprint],
    latest: Path | None,
    *,
    force: bool,
) -> Resolution:
    """Resolves the config of a new run, or of one that resumes from the checkpoint `latest`.

    A run that resumes keeps what was chosen for it, but for what depends on a setting that was
    changed. Raises RunError where it was made with another config or other data, except for
    what `force` allows.
    """
    if latest is None:
        found = _resolve_new(config, files, run)
        run.create(found)
        return Resolution(found)
    old = run.config()
    same = _same_schedule(old, config)
    changes = [one for one in find_changes(old, config, files) if one.key not in same]
    require_resumable(run.root, changes, force=force)
    forced = [
        f"step {step_of(latest)}: {change.text}"
        for change in changes
        if change.needs is OnResume.FORCE
    ]
    known = list(old.resolved.files)
    if forced:
        known = [*files, *(file for file in known if file.key.startswith(ONLY_AT_THE_START))]
    resolved = old.resolved.model_copy(
        update={
            "files": known,
            "forced": [*old.resolved.forced, *forced],
            "plan_version": PLAN_VERSION,
        }
    )
    chosen, choices = _choose_changed(old, config)
    found = resolve_config(config, chosen, resolved, run.families)
    if found != old:
        run.write_config(found)
    return Resolution(found, (*(change.text for change in changes), *choices))


def _resolve_new(config: Config, files: Sequence[FileFingerprint], run: Run) -> ResolvedConfig:
    initial = InitialRun.of(config, run)
    tokenizer = initial.tokenizer_for(config) if initial else config.tokenizer
    # The text of corpora is normalized as by the tokenizer that the run will have.
    used = config.model_copy(update={"tokenizer": tokenizer})
    resolved = Resolved(
        files=[*files, *([initial.fingerprint] if initial else [])],
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        held_out_below=held_out_below(used),
        plan_version=PLAN_VERSION,
    )
    chosen = choose(used)
    if tokenizer != config.tokenizer:
        chosen |= {f"tokenizer.{name}": value for name, value in tokenizer.model_dump().items()}
    try:
        return resolve_config(config, chosen, resolved, run.families)
    except ValidationError as error:
        values = used.model_dump(mode="json")
        mistakes = explain(error, type(config), values, {}, f"{run.root}: the resolved config")
    raise ConfigError("\n".join(mistakes))


def choose(config: Config) -> dict[str, Any]:
    """A value for every setting that is `auto` or null and needs one, by dotted key."""
    training, chosen = config.training, dict[str, Any]()
    chosen["training.precision"] = resolve_training_precision(training.precision)
    if training.bleu_tokenizer == "auto":
        pairs = training_pairs(config.data, None, skip_problems=True)
        targets = (text for _, text in sentences(pairs, "target"))
        chosen["training.bleu_tokenizer"] = bleu_tokenizer(targets)
    if training.batch_tokens == "auto":
        chosen["training.batch_tokens"] = fitting_batch_tokens(config, available_memory())
    chosen.update(_choose_schedule(config))
    chosen["decoding.precision"] = resolve_decoding_precision(config.decoding.precision)
    chosen["decoding.max_source_length"] = config.model.bounded_source(
        config.decoding.max_source_length or config.data.max_length
    )
    return chosen


def _choose_schedule(config: Config) -> dict[str, Any]:
    """A value for the settings of the schedule, by dotted key."""
    schedule, max_steps = config.training.schedule, config.training.max_steps
    name = config.model.default_schedule if schedule.name == "auto" else schedule.name
    chosen: dict[str, Any] = {"name": name, "warmup_steps": schedule.warmup_steps}
    if schedule.warmup_steps is None:
        chosen["warmup_steps"] = default_warmup(max_steps) if name == "inverse_sqrt" else 0
    if name == "cosine":
        chosen["decay_steps"] = schedule.decay_steps or max_steps
    return {f"training.schedule.{key}": value for key, value in chosen.items()}


def _same_schedule(old: ResolvedConfig, new: Config) -> set[str]:
    """The settings of the schedule for which `auto` or null now chooses what the run has."""
    before, after = flatten(old.model_dump(mode="json")), requested_settings(new)
    return {
        key
        for key, value in _choose_schedule(new).items()
        if before[key] == value and after[key] in ("auto", None)
    }


def default_warmup(max_steps: int | None) -> int:
    """MAX_WARMUP_STEPS, or an eighth of a short training, so that most of it has the full rate."""
    return min(MAX_WARMUP_STEPS, max(1, (max_steps or MAX_WARMUP_STEPS * 8) // 8))


def _choose_changed(old: ResolvedConfig, new: Config) -> tuple[dict[str, Any], list[str]]:
    """What was chosen for the run, chosen again where what it depends on has changed; and
    which choices differ from before, a clause each."""
    before, after = requested_settings(old), requested_settings(new)
    settings = flatten(old.model_dump(mode="json"))

    def is_unchanged(key: str) -> bool:
        keys = [key, DEPENDS_ON[key]] if key in DEPENDS_ON else [key]
        return all(before.get(key) == after.get(key) for key in keys)

    retained = {
        key: settings[key]
        for key in old.resolved.requested
        if (key in CHOSEN or key.startswith("tokenizer.")) and is_unchanged(key)
    }
    chosen = {**choose(new), **retained}
    differences = [
        f"{key}: {_requested(after[key])} now chooses {value} (it was {_requested(settings[key])})"
        for key, value in chosen.items()
        if value != settings.get(key) and after.get(key) in ("auto", None)
    ]
    return chosen, differences


def _requested(value: Any) -> str:
    return "null" if value is None else str(value)


def fitting_batch_tokens(config: Config, available: int | None) -> int:
    """Starts from 4096 and halves until one step fits in half of the `available` bytes."""
    family = family_of(config.model)
    per_token = family.training_bytes_per_token(
        config.model,
        config.tokenizer.vocab_size,
        config.model.bounded_source(config.data.max_length),
    )
    tokens = MAX_BATCH_TOKENS
    while available and tokens > MIN_BATCH_TOKENS and 2 * tokens * per_token > available:
        tokens //= 2
    return tokens
