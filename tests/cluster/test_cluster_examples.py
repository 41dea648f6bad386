"""The examples for clusters, run as far as one machine can run them."""

import os
import subprocess
from pathlib import Path

import yaml

from s2s_cli.cli.app import GROUPS
from s2s_cli.cluster.blocks import Shard
from s2s_cli.runtime.cluster import Cluster, cluster_from_environment

EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"


def ran(tmp_path: Path, command: list[str], **variables: str) -> list[str]:
    """What `s2s` is given by a script, whose `srun` and `s2s` are replaced."""
    programs = {
        "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "s2s": 'printf "%s\\n" "$TF_CONFIG" "$@"',
    }
    for name, script in programs.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.run(
        command,
        env={"PATH": path, "TF_CONFIG": "", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.splitlines()


def test_every_example_is_run_here():
    assert {path.name for path in EXAMPLES.iterdir()} == {
        "kubernetes-job.yaml", "ray-cluster.yaml", "slurm-translate.sbatch", "slurm.sbatch",
    }  # fmt: skip


def test_the_slurm_job_trains_with_its_processors(tmp_path):
    command = ["bash", str(EXAMPLES / "slurm.sbatch"), "a b.yaml"]
    _, *found = ran(tmp_path, command, SLURM_CPUS_PER_TASK="8", TMPDIR="/scratch")
    assert found == ["train", "a b.yaml", "--threads", "8", "--local-cache", "/scratch/s2s"]


def test_a_job_of_the_array_translates_its_shard(tmp_path):
    variables = {"TASK_ID": "3", "TASK_COUNT": "16"}
    variables = {f"SLURM_ARRAY_{name}": value for name, value in variables.items()}
    command = ["bash", str(EXAMPLES / "slurm-translate.sbatch"), "run", "in.gz", "out.gz"]
    _, *found = ran(tmp_path, command, SLURM_CPUS_PER_TASK="8", **variables)
    assert found[:6] == ["translate", "run", "--input", "in.gz", "--output", "out.gz"]
    assert Shard.parse(found[found.index("--shard") + 1]) == Shard(3, 16)


def test_the_pods_of_the_kubernetes_job_find_each_other(tmp_path):
    service, job = yaml.safe_load_all((EXAMPLES / "kubernetes-job.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] == 4
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == spec["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    (count,) = container["env"]
    command = [*container["command"], *container["args"]]
    variables = {count["name"]: count["value"], "JOB_COMPLETION_INDEX": "2"}
    config, *found = ran(tmp_path, command, **variables)
    assert found[:2] == ["train", "config.yaml"]
    addresses = tuple(f"s2s-{index}.s2s:23430" for index in range(4))
    assert cluster_from_environment({"TF_CONFIG": config}) == Cluster(addresses, 2)
    assert container["ports"] == [{"containerPort": 23430}]


def test_the_ray_cluster_is_described_with_commands_that_exist():
    text = (EXAMPLES / "ray-cluster.yaml").read_text()
    assert {"head_start_ray_commands", "worker_start_ray_commands"} < yaml.safe_load(text).keys()
    commands = {command.__name__ for group in GROUPS.values() for command in group}
    used = [line.split("s2s ")[1].split()[0] for line in text.splitlines() if "  s2s " in line]
    assert used == ["train", "translate"] and commands.issuperset(used)
