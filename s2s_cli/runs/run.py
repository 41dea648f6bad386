"""The run directory: the only module that knows its file names."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from s2s_cli.config.load import dump_config, load_resolved
from s2s_cli.config.schema import FAMILIES, ModelSettings, ResolvedConfig
from s2s_cli.errors import ConfigError, RunError
from s2s_cli.files import recover_folder, remove_folder, write_text

_CHECKPOINT = re.compile(r"step-(\d{8,})")
_CHECKSUM = "# sha256 of the lines above; this file is written by s2s and must not be edited: "
_RESTORED_BY = "`s2s train` on this run restores it from a checkpoint."


@dataclass(frozen=True)
class Run:
    """A directory that holds all that a training was given and has made.

    `families` are the model families that its config may name.
    """

    root: Path
    families: tuple[type[ModelSettings], ...] = FAMILIES

    # Where things are.

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.root / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line, one line an event."""
        return self.root / "metrics.jsonl"

    @property
    def samples_file(self) -> Path:
        """Held-out source sentences, one a line, on which an export is proven."""
        return self.root / "translations" / "samples.txt"

    @property
    def tensorboard(self) -> Path:
        """Event files for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def tokenizer_folder(self) -> Path:
        """The SentencePiece models and readable vocabularies, and the lexicon."""
        return self.root / "tokenizer"

    def tokenizer_file(self, side: str) -> Path:
        """The SentencePiece model of a side, `source` or `target`."""
        return self.tokenizer_folder / f"{side}.model"

    @property
    def lexicon_file(self) -> Path:
        """Which target tokens are likely translations of a source token."""
        return self.tokenizer_folder / "lexicon.safetensors"

    def store(self, split: str) -> Path:
        """The token store of `train` or `validation`."""
        return self.root / "data" / split

    def epoch_store(self, epoch: int) -> Path:
        """The ids that were drawn for an epoch, counted from 0; see `s2s_cli.text.sampling`."""
        return self.root / "data" / f"train-epoch-{epoch + 1}"

    def epoch_stores(self) -> list[Path]:
        """Those of all epochs that there are."""
        return list((self.root / "data").glob("train-epoch-*"))

    def translations(self, name: str) -> Path:
        """A record of translated sentences; see `s2s_cli.evaluation.records`."""
        return self.root / "translations" / f"{name}.jsonl"

    def validation_translations(self, step: int) -> Path:
        """The record of the validation of a step."""
        return self.translations(step_name(step))

    def worker_log(self, index: int) -> Path:
        """What a worker has said, where several train together."""
        return self.root / "logs" / f"worker-{index}.log"

    def export(self, export_format: str) -> Path:
        """Where an export is written by default."""
        return self.root / "export" / export_format

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of a step, whether it exists or not."""
        return self.root / "checkpoints" / step_name(step)

    # What there is.

    @property
    def exists(self) -> bool:
        """Whether this is a run directory."""
        return self.config_file.is_file() or bool(self.checkpoints())

    @property
    def has_begun(self) -> bool:
        """Whether something was trained here that could be lost."""
        return bool(self.checkpoints())

    def samples(self) -> list[str]:
        """The sentences of `samples_file`. Raises RunError."""
        try:
            return self.samples_file.read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, UnicodeDecodeError):
            raise RunError(
                f"{self.samples_file}: the sentences that prove an export are missing.",
                "Resume the training, which writes them again.",
            ) from None

    def checkpoints(self) -> list[Path]:
        """Every complete checkpoint, the earliest first."""
        folder = self.root / "checkpoints"
        found = [path for path in folder.glob("step-*") if _CHECKPOINT.fullmatch(path.name)]
        return sorted(found, key=step_of)

    def find_checkpoint(self, name: str = "best") -> Path:
        """The checkpoint `best`, `latest`, or that of a step; RunError with what there is."""
        folder = self.root / "checkpoints"
        if re.fullmatch("[0-9]{1,18}", name):
            found = self.checkpoint(int(name))
        elif name in ("best", "latest"):
            pointer = folder / name
            target = _read_pointer(pointer)
            found = folder / target if _CHECKPOINT.fullmatch(target) else pointer
        else:
            raise RunError(f"--checkpoint is {name!r}; it must be best, latest or a step number.")
        if found.is_dir():
            return found
        steps = ", ".join(str(step_of(path)) for path in self.checkpoints())
        hint = f"It has those of steps {steps}." if steps else "Train it first with `s2s train`."
        raise RunError(f"{self.root}: there is no checkpoint `{name}`.", hint)

    def pointed(self, name: str) -> Path | None:
        """The checkpoint that `best` or `latest` names, None where there is none."""
        try:
            return self.find_checkpoint(name)
        except RunError:
            return None

    def newest_checkpoints(self) -> list[Path]:
        """From where training may resume: `latest` first, then the others, newest first."""
        latest, others = self.pointed("latest"), self.checkpoints()[::-1]
        return [latest, *(path for path in others if path != latest)] if latest else others

    def best_step(self) -> int:
        """The step of the best checkpoint."""
        return step_of(self.find_checkpoint("best"))

    # The config.

    def write_config(self, config: ResolvedConfig) -> None:
        """Writes the resolved config, whole or not at all."""
        text = dump_config(config)
        write_text(self.config_file, f"{text}{_CHECKSUM}{_checksum(text)}\n")

    def config(self) -> ResolvedConfig:
        """The resolved config; RunError where there is none or it is damaged."""
        if not self.exists:
            raise RunError(
                f"{self.root}: this is not a run directory; it has no config.yaml.",
                "Train one with `s2s train CONFIG`, or give the directory that holds config.yaml.",
            )
        try:
            # First, as a run of an older format has another checksum line.
            config = load_resolved(self.config_file, self.families)
        except ConfigError as error:
            raise RunError(error.message, error.hint or _RESTORED_BY) from None
        if not self.has_whole_config:
            raise RunError(
                f"{self.config_file}: it was edited or damaged after it was written.", _RESTORED_BY
            )
        return config

    def require_format(self) -> None:
        """Raises RunError where the config is that of a run of another format."""
        with contextlib.suppress(ConfigError):
            load_resolved(self.config_file, self.families)

    @property
    def has_whole_config(self) -> bool:
        """Whether the config is as it was written."""
        try:
            text, _, found = self.config_file.read_text(encoding="utf-8").rpartition(_CHECKSUM)
        except (OSError, UnicodeDecodeError):
            return False
        return found == _checksum(text) + "\n"

    # Changes, by the one process that holds the lock.

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the directory against every other training; makes it where there is none.

        Raises RunError where another training holds the lock, and for a directory that holds
        anything else than a run.
        """
        self._require_own()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # The system releases it when the process ends, in whatever way.
            lock = filelock.FileLock(self.root / ".lock", timeout=0)
            lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.root}: another process is training in this directory.",
                "Wait for it to end, stop it, or name another directory with --run.",
            ) from None
        except (OSError, NotImplementedError) as error:
            raise self._unwritable(error) from None
        try:
            self._remove_unfinished()
            yield
        finally:
            lock.release()

    def create(self, config: ResolvedConfig) -> None:
        """Writes the resolved config into the directory, and makes the folders of a run.

        What an earlier start without a checkpoint left is made again, as a corpus may have
        been corrected since.
        """
        try:
            self.write_config(config)
            for folder in ("tokenizer", "data", "checkpoints", "translations"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            for file in (*self.tokenizer_folder.glob("*"), self.samples_file, self.metrics_file):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    def copied_files(self) -> list[Path]:
        """What could not be made again, and so is copied into each checkpoint."""
        return [path for path in (self.config_file, self.metrics_file) if path.is_file()] + [
            path
            for path in sorted(self.tokenizer_folder.glob("*"))
            if path.suffix in (".model", ".vocab")
        ]

    def point(self, name: str, checkpoint: Path) -> None:
        """Makes `best` or `latest` name `checkpoint`."""
        write_text(self.root / "checkpoints" / name, checkpoint.name + "\n")

    def remove(self, checkpoint: Path) -> None:
        """Removes a checkpoint, so that a part of it is never taken for the whole."""
        remove_folder(checkpoint)

    def _remove_unfinished(self) -> None:
        """Removes what a training was writing when it was killed."""
        for folder in (self.root / "checkpoints", self.root / "data"):
            for left in folder.glob(".*.*"):
                name, _, kind = left.name.removeprefix(".").rpartition(".")
                if kind == "replaced":
                    recover_folder(folder / name)
                if kind in ("writing", "replaced", "removed") and left.is_dir():
                    shutil.rmtree(left)

    def _require_own(self) -> None:
        """Refuses a directory that holds anything else than a run."""
        if self.checkpoints():
            return
        if self.config_file.is_file():
            text = self.config_file.read_text(encoding="utf-8", errors="replace")
            is_own = _CHECKSUM in text
        else:
            is_own = not self.root.is_file() and not any(_visible(self.root))
        if not is_own:
            raise RunError(
                f"{self.root}: this directory holds something else than a run.",
                "Name another directory with --run.",
            )

    def _unwritable(self, error: Exception) -> RunError:
        reason = getattr(error, "strerror", None) or str(error)
        return RunError(
            f"{self.root}: cannot be written: {reason}.",
            "Make room or change the permissions, or name another directory with --run.",
        )


def step_name(step: int) -> str:
    """The name of what belongs to a step."""
    return f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.removeprefix("step-"))


def _read_pointer(pointer: Path) -> str:
    try:
        return pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _visible(folder: Path) -> Iterator[Path]:
    """What is in a folder but hidden files; nothing where there is none."""
    return (path for path in folder.glob("*") if not path.name.startswith("."))
