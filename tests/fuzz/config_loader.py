"""Fuzzes the config loader: any bytes as a config, and as the value of --set."""

from __future__ import annotations

from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["s2s_cli.config.load", "s2s_cli.config.yaml_values", "s2s_cli.config.schema", "yaml"]
):
    from s2s_cli.config.load import dump_config, load_config

from fuzz.harness import fuzz, scratch
from s2s_cli.errors import S2SError

CONFIGS = Path(__file__).parents[2] / "configs"
UNUSUAL = [
    b"a: &a [*a, *a]\ndata: *a\n", b"? [x, {y: z}]\n: 1\n", b"data: {train: {tsv: \"\\0\"}}\n",
    b"training: {max_steps: 1e400, seed: 0x7fffffffffffffffffff}\n", b"<<: {a: 1}\ndata: !!binary aGk=\n",
    b"a: &a [1,1,1]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\ndata: {train: *c}\n", b"data: 2020-02-30\n",
    b"x: \"\\ud800\"\n--set\ntraining.seed=[1, 2", b"--set\ndata.train.0.tsv=a\n",
    b"model: {architecture: [lstm], encoder: 3}\n", b"model: gru\ndata: {train: {tsv: a}}\n",
]  # fmt: skip


def main() -> None:
    """Text after a line `--set` is an override."""
    path = scratch() / "config.yaml"

    def target(data: bytes) -> None:
        text, _, override = data.partition(b"--set\n")
        path.write_bytes(text)
        overrides = (override.decode("utf-8", "replace"),) if override else ()
        dump_config(load_config(path, overrides))

    fuzz(target, [*(p.read_bytes() for p in sorted(CONFIGS.glob("*.yaml"))), *UNUSUAL], (S2SError,))


if __name__ == "__main__":
    main()
