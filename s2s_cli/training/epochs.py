"""The batches of each epoch: its pairs, cut at random where that is set, and its plan."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.errors import RunError
from s2s_cli.runs.run import Run
from s2s_cli.runtime.workers import Workers
from s2s_cli.text.batches import batches
from s2s_cli.text.plan import PLAN_VERSION, Plan, plan_epoch
from s2s_cli.text.sampling import SAMPLING_VERSION, SampledStore, open_sampled, write_sampled
from s2s_cli.text.sampling_worker import SIDES, Drawing
from s2s_cli.text.store import TokenStore
from s2s_cli.training.events import PreparationProgress, SubwordsSampled
from s2s_cli.training.preparation import REPORT_INTERVAL, Prepared, tag_ids

# More processes than this draw the first epoch of a training no sooner than they start.
MAX_PROCESSES = 8


class _ClosedError(Exception):
    """The training has ended, so the next epoch is not needed."""


class Epochs:
    """Plans and reads the epochs of a training.

    With `training.subword_sampling`, the ids of an epoch are drawn anew, those of the next epoch
    while an epoch is trained on. Ids and plan follow from (corpora, seed, epoch) alone. Of several
    workers, the chief draws and the others open what it has drawn.
    """

    def __init__(
        self, run: Run, config: ResolvedConfig, prepared: Prepared, threads: int, workers: Workers
    ):
        self._run, self._config, self._plain = run, config, prepared.train
        self._workers = workers
        self._threads = min(threads, MAX_PROCESSES)
        self._tags = tag_ids(config.data, prepared.tokenizers)
        self._store = prepared.train
        self._closed, self._drawn, self._pool = Event(), 0, ThreadPoolExecutor(1)
        self._next: tuple[int, Future[SampledStore]] | None = None
        if not config.training.subword_sampling.is_on and workers.is_chief:
            self._remove_stores(keep=())

    def close(self) -> None:
        """Ends the drawing of an epoch that is not needed any more."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def draw(self, epoch: int) -> Generator[PreparationProgress | SubwordsSampled, None, None]:
        """Draws the ids of an epoch, if they are drawn, and reports how far that is."""
        if not self._config.training.subword_sampling.is_on:
            return
        if self._workers.is_chief:
            future = self._drawing(epoch, self._threads)
            while not wait([future], REPORT_INTERVAL).done:
                yield PreparationProgress("subword sampling", self._drawn, len(self._plain), "pair")
        found = self._sampled(epoch)
        yield SubwordsSampled(_tokens(found.store), _tokens(self._plain), found.unchanged)

    def plan(self, epoch: int) -> Plan:
        """The plan of an epoch, which `read` then reads from."""
        if self._config.training.subword_sampling.is_on:
            self._store = self._sampled(epoch).store
            if self._workers.is_chief:
                following = [epoch + 1] if epoch + 1 != self._config.training.epochs else []
                self._remove_stores(keep=(epoch, *following))
                for later in following:
                    self._drawing(later, 1)
        return _plan(self._store, self._config, epoch)

    def read(self, plan: Plan, start: int) -> Iterator[dict[str, Any]]:
        """The batches of the epoch that was planned last, from number `start` on."""
        return batches(self._store, plan, start)

    def _sampled(self, epoch: int) -> SampledStore:
        """The ids of an epoch, once they are drawn."""
        found = None
        if self._workers.is_chief:
            found = self._drawing(epoch, self._threads).result()
        self._workers.gather()
        folder = self._run.epoch_store(epoch)
        found = found or open_sampled(folder, self._drawing_of(epoch), self._plain)
        if found is None:
            raise RunError(
                f"{folder}: worker {self._workers.index} does not find what the chief has drawn.",
                "The run directory must be on storage that all workers share.",
            )
        return found

    def _drawing(self, epoch: int, processes: int) -> Future[SampledStore]:
        """The ids of an epoch, which are drawn if they are not there and not being drawn."""
        if self._next is None or self._next[0] != epoch:
            self._next = epoch, self._pool.submit(self._open_or_draw, epoch, processes)
        return self._next[1]

    def _open_or_draw(self, epoch: int, processes: int) -> SampledStore:
        folder, drawing = self._run.epoch_store(epoch), self._drawing_of(epoch)
        found = open_sampled(folder, drawing, self._plain)
        return found or write_sampled(
            folder, drawing, self._plain, processes=processes, on_progress=self._on_progress
        )

    def _on_progress(self, pairs_done: int) -> None:
        self._drawn = pairs_done
        if self._closed.is_set():
            raise _ClosedError

    def _drawing_of(self, epoch: int) -> Drawing:
        config, run = self._config, self._run
        sampling = config.training.subword_sampling
        strengths = {"source": sampling.source, "target": sampling.target}
        return Drawing(
            store=str(run.store("train").resolve()),
            models={side: str(run.tokenizer_file(side).resolve()) for side in SIDES},
            tokenizer_type=config.tokenizer.type,
            strengths={side: found for side, found in strengths.items() if found is not None},
            seed=config.training.seed,
            epoch=epoch,
            longest=config.model.longest_sentence,
            tags=self._tags,
        )

    def _remove_stores(self, keep: tuple[int, ...]) -> None:
        """Removes the ids of other epochs. Where a file of them is still open, a later call does."""
        needed = [self._run.epoch_store(epoch) for epoch in keep]
        for folder in self._run.epoch_stores():
            if folder not in needed:
                shutil.rmtree(folder, ignore_errors=True)


def _tokens(store: TokenStore) -> int:
    return len(store.source.values) + len(store.target.values)


def plan_key(config: ResolvedConfig, store: TokenStore) -> str:
    """What the plans of the epochs are made from, as a short text; `store` has the plain ids."""
    training = config.training
    weights = [corpus.mixing_weight for corpus in config.data.train]
    made_from: dict[str, Any] = {
        "version": PLAN_VERSION,
        "store": store.key,
        "batches": [training.seed, training.batch_tokens, training.batch_size],
        "mixing": weights,
    }
    if training.subword_sampling.is_on:
        sampling = training.subword_sampling
        strengths = [sampling.source, sampling.target]
        made_from["sampling"] = [SAMPLING_VERSION, *strengths]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def _plan(store: TokenStore, config: ResolvedConfig, epoch: int) -> Plan:
    training = config.training
    assert training.batch_tokens != "auto"
    weights = [corpus.mixing_weight for corpus in config.data.train]
    return plan_epoch(
        store.source.lengths,
        store.target.lengths,
        seed=training.seed,
        epoch=epoch,
        batch_tokens=training.batch_tokens,
        batch_size=training.batch_size,
        corpora=store.corpora,
        mixing_weights=[weight for weight in weights if weight is not None] or None,
    )
