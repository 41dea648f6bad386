"""A worker of a training that kills itself after a step: CONFIG RUN STEP."""

import os
import signal
import sys
from pathlib import Path

from s2s_cli import runtime
from s2s_cli.config.load import load_config
from s2s_cli.runs.run import Run
from s2s_cli.runtime.cluster import cluster_from_environment

config_file, run, step = sys.argv[1:]
workers = runtime.start(1, cluster=cluster_from_environment())

from s2s_cli.training.events import StepDone  # noqa: E402
from s2s_cli.training.run import train  # noqa: E402

for event in train(Run(Path(run)), load_config(Path(config_file)), threads=1, workers=workers):
    if isinstance(event, StepDone) and event.step == int(step):
        os.kill(os.getpid(), signal.SIGKILL)
