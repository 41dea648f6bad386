"""A run goes on from its newest whole checkpoint, and what is damaged beside it is mended from there."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from s2s_cli.errors import RunError
from s2s_cli.events import Mended
from s2s_cli.files import sha256, write_bytes
from s2s_cli.run import Run
from s2s_cli.training.checkpoint import checksums, load_state, require_whole


def mend(run: Run) -> Generator[Mended, None, Path | None]:
    """Puts a run in order; returns the checkpoint to go on from, None where there is none yet.

    A checkpoint that is damaged, or whose best so far is, is passed over for one before
    it, from which the steps between are taken again. The config and the vocabularies are
    taken from the checkpoint where they are not what was written. Raises RunError where
    no checkpoint is whole.
    """
    whole: list[Path] = []
    damage: list[str] = []
    for checkpoint in run.newest_checkpoints():
        try:
            require_whole(checkpoint)
            whole.append(checkpoint)
            best = load_state(checkpoint).best_step
            if best is not None:
                require_whole(run.checkpoint(best))
        except RunError as error:
            damage += [error.message] if error.message not in damage else []
            continue
        break
    else:
        if damage and not whole:
            raise RunError(
                "\n".join(damage),
                "No checkpoint of this run can be read; bring one back from a copy, or train in"
                " another directory with --run.",
            )
        if not whole:
            return None
        checkpoint = whole[0]
    for message in damage:
        yield Mended(message.removesuffix("."), f"going on from {checkpoint.name}")
    yield from _restore(run, checkpoint)
    return checkpoint


def _restore(run: Run, checkpoint: Path) -> Generator[Mended, None, None]:
    """Copies from a checkpoint what is damaged or missing in its run."""
    remedy = f"restored from {checkpoint.name}"
    if not run.has_whole_config:
        write_bytes(run.config_file, (checkpoint / run.config_file.name).read_bytes())
        yield Mended(f"{run.config_file}: it was changed or damaged", remedy)
    sums = checksums(checkpoint)
    for name in sums:
        path = run.tokenizer_folder / name
        if path.suffix not in (".model", ".vocab"):
            continue
        if not path.is_file() or sha256(path) != sums[name]:
            write_bytes(path, (checkpoint / name).read_bytes())
            yield Mended(f"{path}: it was changed or damaged", remedy)


def restore_metrics(run: Run, checkpoint: Path) -> None:
    """Cuts the metrics back to where they stood at a checkpoint."""
    saved = checkpoint / run.metrics_file.name
    if saved.is_file():
        write_bytes(run.metrics_file, saved.read_bytes())
    else:
        run.metrics_file.unlink(missing_ok=True)
