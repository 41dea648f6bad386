"""Ray: a cluster that runs already, or one of this machine alone, for as long as it is needed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from types import ModuleType

from s2s_cli.errors import S2SError, pip_install_hint


@contextlib.contextmanager
def ray_session(address: str | None, processors: int) -> Iterator[ModuleType]:
    """Connects to the cluster at `address`, or starts one here with so many processors.

    Raises S2SError where Ray is not installed, or the cluster cannot be reached.
    """
    if importlib.util.find_spec("ray") is None:
        raise S2SError("--workers needs ray, not installed here.", pip_install_hint("ray"))
    # Usage statistics would be sent over the network, and Ray's own messages mixed with ours.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    import ray

    try:
        ray.init(
            address=address or "local",
            num_cpus=None if address else processors,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = (
            f"The Ray cluster at {address} cannot be reached" if address else "Ray does not start"
        )
        raise S2SError(
            f"{where}: {str(error).splitlines()[0]}",
            "`ray status --address ADDRESS` says whether a cluster is there; docs/cluster.md has more.",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
