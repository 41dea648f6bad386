"""`s2s train`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import INTERRUPTED, Stop, start_tensorflow, stop_signals
from s2s_cli.config.schema import Config, Training

if TYPE_CHECKING:
    from s2s_cli.runs.run import Run
    from s2s_cli.runtime.cluster import Cluster


@options.with_section_options(Training, "Training", only=["max_minutes"])
def train(
    config_file: options.ConfigFile,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run directory.", show_default="runs/<name of CONFIG>"),
    ] = None,
    settings: options.Settings = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume a run although settings were changed.")
    ] = False,
    workers: options.Workers = None,
    ray_address: options.RayAddress = None,
    local_cache: Annotated[
        Path | None,
        typer.Option(help="Folder on its own disk into which a worker copies the token stores."),
    ] = None,
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Train a model; the same command again resumes where it stopped.

    Where TF_CONFIG or a Slurm step of several tasks says so, this process is one of several workers
    that share each batch.
    """
    from s2s_cli.config.load import load_config
    from s2s_cli.runs.run import Run

    changes = [f"training.{name}={value}" for name, value in (overrides or {}).items()]
    config = load_config(config_file, (*(settings or ()), *changes))
    directory = Run(run or Path("runs") / config_file.stem)
    job = _Job(config, directory, force, local_cache, is_new=not directory.exists)
    train_it: Callable[[int | None], bool] = job.train_here
    if workers:
        train_it = functools.partial(job.train_with_ray, workers, ray_address)
    if train_it(threads):
        raise typer.Exit(INTERRUPTED)


@dataclass(frozen=True)
class _Job:
    """A training and how it is shown; the methods return whether it was interrupted."""

    config: Config
    run: Run
    force: bool
    local_cache: Path | None
    is_new: bool

    def train_here(self, threads: int | None) -> bool:
        """Trains in this process, which may be one of several workers."""
        from s2s_cli.runtime.cluster import cluster_from_environment

        cluster = cluster_from_environment()
        if cluster:
            console.say(f"{cluster.name} of {len(cluster.addresses)}; waiting for the others")
        # TensorFlow computes the two halves of each batch at the same time.
        workers = start_tensorflow(
            threads,
            inter_op_threads=2,
            deterministic=self.config.training.deterministic,
            cluster=cluster,
        )
        from s2s_cli.training.run import train

        with stop_signals() as stop:
            events = train(
                self.run,
                self.config,
                threads=options.thread_count(threads),
                force=self.force,
                stop_requested=stop.was_requested,
                workers=workers,
                local_cache=self.local_cache,
            )
            return self._show(events, stop, cluster)

    def train_with_ray(self, workers: int, address: str | None, threads: int | None) -> bool:
        """Trains in workers that Ray starts."""
        from s2s_cli.cluster.ray_session import ray_session
        from s2s_cli.cluster.ray_training import RayTraining, train_with_ray

        of_each = options.threads_of_worker(threads, workers)
        training = RayTraining(
            self.config, self.run.root.resolve(), of_each, self.force, self.local_cache
        )
        count = "1 worker" if workers == 1 else f"{workers} workers"
        threads_of_each = "1 thread" if of_each == 1 else f"{of_each} threads"
        console.say(f"starting {count} through Ray, {threads_of_each} each")
        with ray_session(address, workers * of_each) as ray, stop_signals() as stop:
            events = train_with_ray(
                ray, training, workers=workers, stop_requested=stop.was_requested
            )
            return self._show(events, stop, None)

    def _show(self, events: Iterable[Any], stop: Stop, cluster: Cluster | None) -> bool:
        from s2s_cli.cli.training_view import TrainingView
        from s2s_cli.training.events import Finished, ModelReady, StepDone

        is_chief = cluster is None or cluster.index == 0
        view = TrainingView(
            self.config.training, self.run.root, is_new=self.is_new, has_bar=is_chief
        )
        is_interrupted = False
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(view))
            for event in events:
                if isinstance(event, ModelReady) and cluster:
                    stack.enter_context(self._log(cluster))
                view.show(event)
                stop.can_save = stop.can_save or isinstance(event, StepDone)
                if isinstance(event, Finished):
                    is_interrupted = event.interrupted
        if is_chief and not is_interrupted:
            self._show_next_commands()
        return is_interrupted

    def _log(self, cluster: Cluster) -> contextlib.AbstractContextManager[None]:
        """Keeps what a worker says in the run; that of the chief is shown too."""
        log, is_chief = self.run.worker_log(cluster.index), cluster.index == 0
        if not is_chief:
            console.say(f"{cluster.name} trains; its log is {log}")
        return console.logged(log, is_shown=is_chief)

    def _show_next_commands(self) -> None:
        console.say(f"best checkpoint: step {self.run.best_step():,}. Next:")
        console.next_commands(
            ["s2s", "translate", str(self.run.root), "-i", "FILE"],
            ["s2s", "export", str(self.run.root), "--format", "keras"],
        )
