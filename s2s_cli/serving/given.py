"""What a server serves, and how its processes learn it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from s2s_cli.serving import Limits
from s2s_cli.serving.places import Place

# What a process that was started by another one serves, as JSON.
_GIVEN = "S2S_SERVE"


@dataclass(frozen=True)
class Given:
    """What to serve; the same for every process."""

    places: Sequence[Place]
    limits: Limits
    keys_file: str | None = None
    checkpoint: str = "best"
    threads: int | None = None


def give_to_processes(given: Given) -> None:
    """Gives it to the processes that this one starts."""
    os.environ[_GIVEN] = json.dumps(asdict(given))


def given_to_process() -> Given:
    """What `give_to_processes` has given to this process."""
    values = json.loads(os.environ[_GIVEN])
    places = [Place(**one) for one in values.pop("places")]
    return Given(places, Limits(**values.pop("limits")), **values)
