"""What a server counts, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "s2s_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.sentences = Counter(
            "s2s_sentences", "Lines that were translated.", ["source", "target"], registry=registry
        )
        self.dropped = Counter(
            "s2s_dropped", "Requests whose client left before the answer.", registry=registry
        )
        self.batches = Histogram(
            "s2s_batch_sentences", "Lines of a batch.", buckets=SIZES, registry=registry
        )
        self.seconds = Histogram(
            "s2s_request_seconds", "Seconds of a translation.", buckets=SECONDS, registry=registry
        )
        self.queue = Gauge("s2s_queue_sentences", "Lines that wait now.", registry=registry)

    def text(self) -> bytes:
        """All of them."""
        return bytes(generate_latest(self._registry))
