"""A training whose workers are started, watched and restarted by Ray Train.

Each worker runs what `s2s train` runs; the events of the chief come back to the process that asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from s2s_cli.config.schema import Config
from s2s_cli.errors import S2SError

# A worker group that failed is started again so many times, from the last checkpoint.
MAX_RESTARTS = 3
# Seconds between two looks at what the chief has sent, and at whether a stop was requested.
INTERVAL = 0.2
# Seconds after which Ray counts a worker as dead that does not answer; its own default is 600.
HEALTH_TIMEOUT = 60


@dataclass(frozen=True)
class RayTraining:
    """All that a worker needs to train; the files are on storage that all machines share."""

    config: Config
    run: Path
    threads: int
    force: bool = False
    local_cache: Path | None = None

    def storage(self) -> Path:
        """Where Ray Train writes what it remembers of the workers."""
        return self.run / ".ray"


class _Mailbox:
    """An actor: what the chief has sent, and whether the training shall stop."""

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._is_stop_requested = False

    def post(self, events: list[Any]) -> bool:
        """Takes events of the chief; returns whether a stop is requested."""
        self._events += events
        return self._is_stop_requested

    def collect(self, is_stop_requested: bool) -> list[Any]:
        """Hands out the events since the last time."""
        self._is_stop_requested |= is_stop_requested
        events, self._events = self._events, []
        return events


def train_with_ray(
    ray: ModuleType,
    training: RayTraining,
    *,
    workers: int,
    stop_requested: Callable[[], bool],
) -> Iterator[Any]:
    """Trains with so many workers; yields the events of the chief.

    Raises S2SError where a worker found a mistake of the user, or the workers failed too often.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", str(HEALTH_TIMEOUT))
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    mailbox = ray.remote(num_cpus=0)(_Mailbox).remote()
    has_gpus = ray.cluster_resources().get("GPU", 0) >= workers
    trainer = TensorflowTrainer(
        _train_worker,
        train_loop_config={
            "training": training,
            "mailbox": mailbox,
            "folder": os.getcwd(),
            "has_gpu": has_gpus,
        },
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=has_gpus,
            resources_per_worker={"CPU": training.threads},
        ),
        run_config=RunConfig(
            name="training",
            storage_path=str(training.storage().resolve()),
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
        ),
    )
    failures: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    mistake: S2SError | None = None
    while True:
        is_over = not thread.is_alive()
        for event in ray.get(mailbox.collect.remote(stop_requested())):
            if isinstance(event, S2SError):
                mistake = event
            else:
                yield event
        if is_over:
            break
        time.sleep(INTERVAL)
    if mistake is not None:
        raise mistake
    if failures:
        raise _as_error(failures[0])


def _as_error(failure: BaseException) -> S2SError:
    causes = getattr(failure, "worker_failures", {})
    lines = [
        f"worker {rank}: {_first_line(getattr(cause, 'cause', None) or cause)}"
        for rank, cause in sorted(causes.items())
    ]
    return S2SError(
        "\n".join(["Ray Train has given up the training.", *(lines or [_first_line(failure)])]),
        "The same command resumes from the last checkpoint.",
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _train_worker(given: dict[str, Any]) -> None:
    """What each worker runs; Ray Train has set TF_CONFIG."""
    training: RayTraining = given["training"]
    os.chdir(given["folder"])
    if not given["has_gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Ray sets it; tf.keras would then be another Keras than `keras`.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    from s2s_cli import runtime
    from s2s_cli.runs.run import Run
    from s2s_cli.runtime.cluster import cluster_from_environment
    from s2s_cli.runtime.workers import WorkerLostError
    from s2s_cli.training.events import WorkersConnected
    from s2s_cli.training.run import train

    cluster = cluster_from_environment()
    post = _Post(given["mailbox"], is_silent=cluster is not None and cluster.index > 0)
    try:
        workers = runtime.start(
            training.threads,
            inter_op_threads=min(2, training.threads),
            deterministic=training.config.training.deterministic,
            cluster=cluster,
        )
        post.send(WorkersConnected(workers.count))
        for event in train(
            Run(training.run),
            training.config,
            threads=training.threads,
            force=training.force,
            stop_requested=post.stop_requested,
            workers=workers,
            local_cache=training.local_cache,
        ):
            post.send(event)
    except WorkerLostError:
        raise  # Ray starts all workers again
    except S2SError as mistake:
        # Another attempt would find it again.
        post.send(type(mistake)(mistake.message, mistake.hint))
    finally:
        post.flush()


class _Post:
    """Sends the events of the chief, several at a time; those of others are not shown."""

    def __init__(self, mailbox: Any, *, is_silent: bool):
        self._mailbox, self._is_silent = mailbox, is_silent
        self._waiting: list[Any] = []
        self._sent, self._is_stop_requested = time.monotonic(), False

    def send(self, event: Any) -> None:
        """Sends an event soon."""
        if not self._is_silent or isinstance(event, S2SError):
            self._waiting.append(event)
        if time.monotonic() - self._sent > INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Sends what is waiting."""
        import ray

        waiting, self._waiting, self._sent = self._waiting, [], time.monotonic()
        if not self._is_silent or waiting:
            self._is_stop_requested = ray.get(self._mailbox.post.remote(waiting))

    def stop_requested(self) -> bool:
        """Whether the process that asked for the training wants it to stop."""
        return self._is_stop_requested
