"""Which processes train one model together, as the environment of a process says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from s2s_cli.errors import S2SError

# Workers on one node listen on this port and the following ones, where a scheduler names none.
FIRST_PORT = 23430


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, and which of them this process is.

    `addresses` are `host:port`, in an order that is the same for all; the first is the chief.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def name(self) -> str:
        """This worker, for people."""
        return worker_name(self.index, self.addresses)


def worker_name(index: int, addresses: tuple[str, ...]) -> str:
    """A worker by number and address; the chief is worker 0."""
    role = ", the chief" if index == 0 else ""
    return f"worker {index} ({addresses[index]}{role})"


def cluster_from_environment(environment: Mapping[str, str] | None = None) -> Cluster | None:
    """The workers that `TF_CONFIG`, or the Slurm step of several tasks, names; None for one process.

    Raises S2SError where the variables cannot be used.
    """
    variables = os.environ if environment is None else environment
    if variables.get("TF_CONFIG", "").strip():
        return _from_tf_config(variables["TF_CONFIG"])
    return _from_slurm(variables)


# TF_CONFIG: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable


def _from_tf_config(text: str) -> Cluster | None:
    try:
        found = json.loads(text)
        jobs = {name: list(found.get("cluster", {})[name]) for name in found.get("cluster", {})}
        task = found.get("task", {})
        type_, number = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError):
        raise _unusable(text, "it is not JSON of the form that TensorFlow expects") from None
    if not jobs:
        return None
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown or type_ not in jobs:
        what = f"job {unknown[0]!r}" if unknown else f"task of type {type_!r}"
        raise _unusable(text, f"it has a {what}; every process must be a chief or a worker")
    addresses = tuple(map(str, [*jobs.get("chief", []), *jobs.get("worker", [])]))
    index = number + (len(jobs.get("chief", [])) if type_ == "worker" else 0)
    if not 0 <= number < len(jobs[type_]):
        raise _unusable(text, f"it has no {type_} {number}")
    return Cluster(addresses, index) if len(addresses) > 1 else None


def _unusable(text: str, reason: str) -> S2SError:
    return S2SError(
        f"TF_CONFIG cannot be used: {reason}. It is {text[:200]!r}.",
        "docs/cluster.md has an example; for a training of one process, unset TF_CONFIG.",
    )


# Slurm: https://slurm.schedmd.com/srun.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
# TensorFlow's resolver asks nvidia-smi, sorts the nodes by name, and numbers the tasks as if they
# filled node after node, so it is not used.


def _from_slurm(variables: Mapping[str, str]) -> Cluster | None:
    """The tasks of a step of `srun`. In the shell of `salloc` there are the variables of a job, but
    none of a step."""
    try:
        tasks = int(variables.get("SLURM_STEP_NUM_TASKS", "1"))
        if tasks < 2 or "SLURM_PROCID" not in variables:
            return None
        nodes = expand_nodes(variables["SLURM_STEP_NODELIST"])
        counts = expand_counts(variables["SLURM_STEP_TASKS_PER_NODE"])
        node, local = int(variables["SLURM_NODEID"]), int(variables["SLURM_LOCALID"])
        first_port = int(variables.get("S2S_PORT", FIRST_PORT))
    except (KeyError, ValueError) as error:
        raise S2SError(
            f"The variables of this Slurm step cannot be used: {error}.",
            "Run `env | grep SLURM` in the step, and set TF_CONFIG by hand; see docs/cluster.md.",
        ) from None
    if sum(counts) != tasks or len(counts) != len(nodes) or not 0 <= local < counts[node]:
        raise S2SError(
            f"The variables of this Slurm step contradict each other: {tasks} tasks, nodes"
            f" {', '.join(nodes)}, tasks a node {', '.join(map(str, counts))}.",
            "Set TF_CONFIG by hand; see docs/cluster.md.",
        )
    addresses = [
        f"{name}:{first_port + place}"
        for name, count in zip(nodes, counts, strict=True)
        for place in range(count)
    ]
    # By node and place, whatever order `--distribution` numbers the tasks in.
    return Cluster(tuple(addresses), sum(counts[:node]) + local)


def expand_nodes(text: str) -> list[str]:
    """The names of nodes: `a[01-03,7]b,c` → a01b, a02b, a03b, a7b, c. Raises ValueError."""
    parts = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text)
    if not parts or ",".join(parts) != text:
        raise ValueError(f"{text!r} is no list of nodes")
    return [name for part in parts for name in _expand_node(part)]


def _expand_node(part: str) -> Iterator[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        yield part
        return
    numbers, _, after = rest.partition("]")
    for piece in numbers.split(","):
        first, _, last = piece.partition("-")
        for number in range(int(first), int(last or first) + 1):
            for tail in _expand_node(after) if after else ("",):
                yield f"{before}{number:0{len(first)}d}{tail}"


def expand_counts(text: str) -> list[int]:
    """Numbers of tasks: `3(x2),1` → 3, 3, 1. Raises ValueError."""
    counts = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not found:
            raise ValueError(f"{text!r} is no list of numbers of tasks")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts
