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

from s2s_cli.config import dump_config, load_config
from s2s_cli.errors import ConfigError, RunError
from s2s_cli.files import recover_folder, remove_folder, write_text
from s2s_cli.schema import Config

_CHECKPOINT = re.compile(r"step-(\d{8,})")
_SUM = "# sha256 of the lines above, which nobody should change: "
_MENDING = "`s2s train` on this run restores it from a checkpoint."


@dataclass(frozen=True)
class Run:
    """A directory that holds all that a training was given and has made."""

    root: Path

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
        """The vocabularies."""
        return self.root / "tokenizer"

    def tokenizer_file(self, side: str, shared: bool) -> Path:
        """The SentencePiece model of a side, `source` or `target`."""
        return self.tokenizer_folder / f"{'shared' if shared else side}.model"

    @property
    def lexicon_file(self) -> Path:
        """Which target pieces go with a source piece."""
        return self.tokenizer_folder / "lexicon.npz"

    def store(self, split: str) -> Path:
        """The token store of `train` or `validation`."""
        return self.root / "data" / split

    def translations(self, step: int) -> Path:
        """What the model said at the validation of a step."""
        return self.root / "translations" / f"step-{step:08d}.txt"

    def samples(self) -> list[str]:
        """The sentences of `samples_file`."""
        try:
            return self.samples_file.read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, UnicodeDecodeError):
            raise RunError(
                f"{self.samples_file}: the sentences that prove an export are missing.",
                "Go on with the training, which writes them again.",
            ) from None

    def export(self, export_format: str) -> Path:
        """Where an export goes if nothing else is said."""
        return self.root / "export" / export_format

    @property
    def exists(self) -> bool:
        """Whether this is a run directory."""
        return self.config_file.is_file() or bool(self.checkpoints())

    @property
    def has_begun(self) -> bool:
        """Whether something was trained here that could be lost."""
        return bool(self.checkpoints())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps every other training out of the directory, which it makes where there is none.

        Raises RunError where another training is in it, and for a directory that holds
        anything else than a run.
        """
        self._require_own()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # The system lets go of it when the process ends, in whatever way.
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
            self._tidy()
            yield
        finally:
            lock.release()

    def _tidy(self) -> None:
        """Takes away what a training that was cut off was in the middle of."""
        for folder in (self.root / "checkpoints", self.root / "data"):
            for left in folder.glob(".*.*"):
                name, _, kind = left.name.removeprefix(".").rpartition(".")
                if kind == "replaced":
                    recover_folder(folder / name)
                if kind in ("writing", "replaced", "removed") and left.is_dir():
                    shutil.rmtree(left)

    def _unwritable(self, error: Exception) -> RunError:
        reason = getattr(error, "strerror", None) or str(error)
        return RunError(
            f"{self.root}: cannot be written: {reason}.",
            "Make room or mend the permissions, or name another directory with --run.",
        )

    def create(self, config: Config) -> None:
        """Writes the resolved config into the directory, and makes what else it needs.

        A run that has not begun is made anew: a corpus may have been mended since.
        """
        try:
            self.write_config(config)
            for folder in ("tokenizer", "data", "checkpoints", "translations"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            for file in (*self.tokenizer_folder.glob("*"), self.samples_file, self.metrics_file):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    def _require_own(self) -> None:
        """Refuses a directory that holds anything else than a run."""
        if self.checkpoints():
            return
        if self.config_file.is_file():
            is_own = _SUM in self.config_file.read_text(encoding="utf-8", errors="replace")
        else:
            is_own = not self.root.is_file() and not any(_visible(self.root))
        if not is_own:
            raise RunError(
                f"{self.root}: there is something else here than a run directory.",
                "Name another directory with --run.",
            )

    def kept_files(self) -> list[Path]:
        """What could not be made again, and so is copied into each checkpoint."""
        return [path for path in (self.config_file, self.metrics_file) if path.is_file()] + [
            path
            for path in sorted(self.tokenizer_folder.glob("*"))
            if path.suffix in (".model", ".vocab")
        ]

    def write_config(self, config: Config) -> None:
        """Writes the resolved config, whole or not at all."""
        text = dump_config(config)
        write_text(self.config_file, f"{text}{_SUM}{_sum(text)}\n")

    def config(self) -> Config:
        """The resolved config; RunError where there is none or it is damaged."""
        if not self.exists:
            raise RunError(
                f"{self.root}: this is not a run directory; it has no config.yaml.",
                "Train one with `s2s train CONFIG`, or give the directory that holds config.yaml.",
            )
        if not self.has_whole_config:
            raise RunError(
                f"{self.config_file}: it was changed, or damaged, since it was written.", _MENDING
            )
        try:
            config = load_config(self.config_file)
        except ConfigError as error:
            raise RunError(error.message, _MENDING) from None
        if config.resolved is None:
            raise RunError(f"{self.config_file}: the section `resolved` is missing.", _MENDING)
        return config

    @property
    def has_whole_config(self) -> bool:
        """Whether the config is as it was written."""
        try:
            text, _, found = self.config_file.read_text(encoding="utf-8").rpartition(_SUM)
        except (OSError, UnicodeDecodeError):
            return False
        return found == _sum(text) + "\n"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of a step, whether it exists or not."""
        return self.root / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Every complete checkpoint, the earliest first."""
        folder = self.root / "checkpoints"
        found = [path for path in folder.glob("step-*") if _CHECKPOINT.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

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
        steps = ", ".join(str(int(path.name.removeprefix("step-"))) for path in self.checkpoints())
        hint = f"It has those of steps {steps}." if steps else "Train it first with `s2s train`."
        raise RunError(f"{self.root}: there is no checkpoint `{name}`.", hint)

    def remove(self, checkpoint: Path) -> None:
        """Takes a checkpoint away, whole."""
        remove_folder(checkpoint)

    def best_step(self) -> int:
        """The step of the best checkpoint."""
        return int(self.find_checkpoint("best").name.removeprefix("step-"))

    def point(self, name: str, checkpoint: Path) -> None:
        """Makes `best` or `latest` mean `checkpoint`."""
        write_text(self.root / "checkpoints" / name, checkpoint.name + "\n")

    def pointed(self, name: str) -> Path | None:
        """What `best` or `latest` means, if it means anything."""
        try:
            return self.find_checkpoint(name)
        except RunError:
            return None

    def newest_checkpoints(self) -> list[Path]:
        """Where training may go on: `latest` first, then the others, the last of them first."""
        latest, others = self.pointed("latest"), self.checkpoints()[::-1]
        return [latest, *(path for path in others if path != latest)] if latest else others


def _read_pointer(pointer: Path) -> str:
    try:
        return pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _visible(folder: Path) -> Iterator[Path]:
    """What is in a folder; nothing where there is none."""
    return (path for path in folder.glob("*") if not path.name.startswith("."))
