"""A run resumes from its newest whole checkpoint, from which damaged files beside it are restored."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from s2s_cli.errors import RunError
from s2s_cli.files import sha256, write_bytes
from s2s_cli.runs.checkpoint import checksums, read_state, require_whole
from s2s_cli.runs.run import Run


@dataclass(frozen=True)
class Repaired:
    """Something of the run was damaged or missing; `remedy` is a clause that says what was done."""

    damage: str
    remedy: str


def repair_run(run: Run) -> Generator[Repaired, None, Path | None]:
    """Restores what is damaged; returns the checkpoint to resume from, None where there is none.

    A checkpoint that is damaged, or whose best checkpoint is, is passed over for an earlier
    one, and the steps between are trained again. The config and the vocabularies are restored
    from the checkpoint where they are not what was written. Raises RunError where no
    checkpoint is whole.
    """
    whole: list[Path] = []
    damage: list[str] = []
    for checkpoint in run.newest_checkpoints():
        try:
            require_whole(checkpoint)
            whole.append(checkpoint)
            for step in named_steps(checkpoint):
                require_whole(run.checkpoint(step))
        except RunError as error:
            damage += [error.message] if error.message not in damage else []
            continue
        break
    else:
        if damage and not whole:
            run.require_format()
            raise RunError(
                "\n".join(damage),
                "No checkpoint of this run can be read; restore one from a copy, or train in"
                " another directory with --run.",
            )
        if not whole:
            return None
        checkpoint = whole[0]
    for message in damage:
        yield Repaired(message.removesuffix("."), f"resuming from {checkpoint.name}")
    yield from _restore(run, checkpoint)
    return checkpoint


def named_steps(checkpoint: Path) -> list[int]:
    """The steps whose checkpoints the state of a checkpoint names as the best."""
    state = read_state(checkpoint)
    steps = (state.get("best_step"), state.get("selected_step"))
    return sorted({step for step in steps if isinstance(step, int)})


def _restore(run: Run, checkpoint: Path) -> Generator[Repaired, None, None]:
    """Copies from a checkpoint what is damaged or missing in its run."""
    remedy = f"restored from {checkpoint.name}"
    if not run.has_whole_config:
        write_bytes(run.config_file, (checkpoint / run.config_file.name).read_bytes())
        yield Repaired(f"{run.config_file}: it was edited or damaged", remedy)
    sums = checksums(checkpoint)
    for name in sums:
        path = run.tokenizer_folder / name
        if path.suffix not in (".model", ".vocab"):
            continue
        if not path.is_file() or sha256(path) != sums[name]:
            write_bytes(path, (checkpoint / name).read_bytes())
            yield Repaired(f"{path}: it was edited or damaged", remedy)


def restore_metrics(run: Run, checkpoint: Path) -> None:
    """Cuts the metrics back to where they stood at a checkpoint."""
    saved = checkpoint / run.metrics_file.name
    if saved.is_file():
        write_bytes(run.metrics_file, saved.read_bytes())
    else:
        run.metrics_file.unlink(missing_ok=True)
