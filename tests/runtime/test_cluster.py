"""Which workers a process finds in its environment."""

import json

import pytest

from s2s_cli.errors import S2SError
from s2s_cli.runtime.cluster import Cluster, cluster_from_environment, expand_counts, expand_nodes

STEP = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "b[9-10],a1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
}


def tf_config(cluster: dict, type_: str = "worker", index: int = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": type_, "index": index}})}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        tf_config({"worker": ["a:1"]}),
        # The shell of salloc, and a step of one task.
        {"SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "a[1-4]", "SLURM_PROCID": "0"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_one_process_is_no_cluster(variables):
    assert cluster_from_environment(variables) is None


def test_tf_config_names_the_workers_with_the_chief_first():
    found = cluster_from_environment(tf_config({"worker": ["a:1", "b:1"]}, index=1))
    assert found == Cluster(("a:1", "b:1"), 1)
    assert found.name == "worker 1 (b:1)"
    both = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert cluster_from_environment(tf_config(both, "worker", 1)) == Cluster(
        ("a:1", "b:1", "c:1"), 2
    )
    found = cluster_from_environment(tf_config(both, "chief"))
    assert (found.index, found.name) == (0, "worker 0 (a:1, the chief)")


def test_a_worker_of_a_slurm_step_follows_from_its_node_and_its_place_there():
    addresses = ("b9:23430", "b9:23431", "b10:23430", "b10:23431", "a1:23430")
    assert cluster_from_environment(STEP) == Cluster(addresses, 3)
    # Tasks that were dealt out to the nodes in turn.
    cyclic = {**STEP, "SLURM_PROCID": "1", "SLURM_NODEID": "1", "SLURM_LOCALID": "0"}
    assert cluster_from_environment(cyclic).index == 2
    assert cluster_from_environment({**STEP, "S2S_PORT": "7000"}).addresses[1] == "b9:7001"
    # TF_CONFIG goes before.
    assert cluster_from_environment({**STEP, **tf_config({"worker": ["a:1"]})}) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("a,b-1", ["a", "b-1"]),
        ("n[1-2],m5,o[3-4,06]", ["n1", "n2", "m5", "o3", "o4", "o06"]),
        ("a[098-100]", ["a098", "a099", "a100"]),
        ("r[0-1]n[2-3].x", ["r0n2.x", "r0n3.x", "r1n2.x", "r1n3.x"]),
    ],
)
def test_names_of_nodes_are_expanded(text, names):
    assert expand_nodes(text) == names


def test_numbers_of_tasks_are_expanded():
    assert expand_counts("3(x2),2,1") == [3, 3, 2, 1]


@pytest.mark.parametrize("text", ["", "a[1-2", "a,,b", "a[x]"])
def test_what_is_no_list_of_nodes_is_refused(text):
    with pytest.raises(ValueError):
        expand_nodes(text)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"TF_CONFIG": "{"}, "it is not JSON of the form that TensorFlow expects"),
        ({"TF_CONFIG": "[1]"}, "it is not JSON of the form that TensorFlow expects"),
        (tf_config({"worker": ["a:1", "b:1"]}, index=2), "it has no worker 2"),
        (tf_config({"worker": ["a:1", "b:1"], "ps": ["c:1"]}), "it has a job 'ps'"),
        (tf_config({"worker": ["a:1", "b:1"]}, "evaluator"), "it has a task of type 'evaluator'"),
        ({**STEP, "SLURM_LOCALID": "2"}, "contradict each other: 5 tasks, nodes b9, b10, a1"),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "two"}, "'two' is no list of numbers of tasks"),
        ({k: v for k, v in STEP.items() if k != "SLURM_NODEID"}, "'SLURM_NODEID'"),
    ],
)
def test_variables_that_cannot_be_used_are_named(variables, reason):
    with pytest.raises(S2SError) as caught:
        cluster_from_environment(variables)
    assert reason in caught.value.message
    assert "docs/cluster.md" in caught.value.hint
