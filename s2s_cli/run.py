"""The run directory: the only module that knows its file names."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from s2s_cli.config import dump_config, load_config
from s2s_cli.errors import ConfigError, RunError
from s2s_cli.schema import Config

_CHECKPOINT = re.compile(r"step-(\d{8,})")


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

    def tokenizer_file(self, side: str, shared: bool) -> Path:
        """The SentencePiece model of a side, `source` or `target`."""
        return self.root / "tokenizer" / f"{'shared' if shared else side}.model"

    @property
    def lexicon_file(self) -> Path:
        """Which target pieces go with a source piece."""
        return self.root / "tokenizer" / "lexicon.npz"

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
        except OSError:
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
        return self.config_file.is_file()

    @property
    def has_begun(self) -> bool:
        """Whether something was trained here that could be lost."""
        return self.exists and bool(self.checkpoints())

    def create(self, config: Config) -> None:
        """Makes the directory and writes the resolved config into it.

        A run that has not begun is made anew: a corpus may have been mended since.
        Raises RunError for a directory that holds anything else.
        """
        if self.exists:
            self.config()
        elif self.root.is_file() or (self.root.exists() and any(self.root.iterdir())):
            raise RunError(
                f"{self.root}: there is something else here than a run directory.",
                "Name another directory with --run.",
            )
        try:
            for folder in ("tokenizer", "data", "checkpoints", "translations"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            for side in ("shared", "source", "target"):
                for kind in (".model", ".vocab"):
                    (self.root / "tokenizer" / (side + kind)).unlink(missing_ok=True)
            for file in (self.lexicon_file, self.samples_file):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{self.root}: cannot be created: {error.strerror}.") from None
        self.write_config(config)

    def write_config(self, config: Config) -> None:
        """Writes the resolved config, whole or not at all."""
        write_text(self.config_file, dump_config(config))

    def config(self) -> Config:
        """The resolved config; RunError where there is none or it is damaged."""
        if not self.exists:
            raise RunError(
                f"{self.root}: this is not a run directory; it has no config.yaml.",
                "Train one with `s2s train CONFIG`, or give the directory that holds config.yaml.",
            )
        try:
            config = load_config(self.config_file)
        except ConfigError as error:
            raise RunError(
                error.message, "The config of a run is not meant to be edited."
            ) from None
        if config.resolved is None:
            raise RunError(
                f"{self.config_file}: the section `resolved` is missing.",
                "The config of a run is not meant to be edited.",
            )
        return config

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
        if name.isdigit():
            found = self.checkpoint(int(name))
        elif name in ("best", "latest"):
            pointer = folder / name
            target = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else ""
            found = folder / target if _CHECKPOINT.fullmatch(target) else pointer
        else:
            raise RunError(f"--checkpoint is {name!r}; it must be best, latest or a step number.")
        if found.is_dir():
            return found
        steps = ", ".join(str(int(path.name.removeprefix("step-"))) for path in self.checkpoints())
        hint = f"It has those of steps {steps}." if steps else "Train it first with `s2s train`."
        raise RunError(f"{self.root}: there is no checkpoint `{name}`.", hint)

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

    def newest_checkpoint(self) -> Path | None:
        """Where training goes on: `latest`, or the last checkpoint where that is lost."""
        return self.pointed("latest") or next(reversed(self.checkpoints()), None)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 beside `path`, then renames: a reader sees the old text or the new."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: a reader sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def replace_folder(beside: Path, folder: Path) -> None:
    """Renames the finished `beside` to `folder`; what was there goes only once it is replaced.

    Where the rename fails, what was there is there again. Raises OSError.
    """
    replaced = folder.with_name(f".{folder.name}.replaced")
    is_new = not folder.exists()
    if not is_new:
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(folder, replaced)
    try:
        os.replace(beside, folder)
    except OSError:
        if not is_new:
            os.replace(replaced, folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
