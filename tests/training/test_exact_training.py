"""One config gives the same bits: twice in a process, in other processes, and after being killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MODELS, s2s, tiny_settings, train_in_process, write_config
from light_training import of_kind, outcome, use_light_step

from s2s_cli.decoding.translator import Translator
from s2s_cli.evaluation.records import read_record
from s2s_cli.runs.run import Run
from s2s_cli.training.events import ModelReady, Validated

pytestmark = pytest.mark.slow

# Trains in a process that kills itself: after a step, or in the validation of a step.
KILLED = """
import os, signal, sys
from pathlib import Path
from conftest import train_in_process
from s2s_cli import runtime
runtime.start(2)
from s2s_cli.decoding.translator import Translator
from s2s_cli.training.events import StepDone

config, run, place, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
steps = []

def on_event(event):
    if isinstance(event, StepDone):
        steps.append(event.step)
        if place == "step" and event.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

search = Translator.search

def killed_search(self, *given):
    if place == "validation" and steps[-1] == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return search(self, *given)

Translator.search = killed_search
train_in_process(config, run, on_event=on_event)
"""


def train_and_be_killed(config: Path, run: Path, place: str, step: int) -> None:
    tests = Path(__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(config), str(run), place, str(step)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"},
    )
    assert process.returncode == -signal.SIGKILL, process.stderr[-3000:]


@pytest.mark.parametrize("architecture", MODELS)
def test_a_training_in_another_process_gives_the_same_bits(trained_as, architecture, tmp_path):
    trained = trained_as(architecture)
    config = trained.parent / "tiny.yaml"
    done = s2s("train", config, "--run", tmp_path / "run", "--threads", 2)
    assert done.returncode == 0, done.err
    assert outcome(tmp_path / "run") == outcome(trained)


# What draws in training, or has a state of its own; each is in one of these.
INGREDIENTS = {
    "lstm": {
        "word_dropout": {"source": 0.1, "target": 0.1},
        "scheduled_sampling": {"rate": 0.5, "steps": 5, "choice": "sampled"},
        "batches_per_step": 2,
        "averaging": {"method": "ema", "decay": 0.5},
        "model": {"variational_dropout": True, "recurrent_dropout": 0.2, "layer_norm": True},
    },
    "transformer": {
        "token_cutoff": {"source": 0.1, "target": 0.1},
        "consistency": {"method": "simcut", "share_encoder": True},
        "batches_per_step": 3,
        "averaging": {"method": "checkpoints", "checkpoints": 3, "interval": 3},
        "model": {"layer_drop": 0.3},
    },
}


@pytest.mark.parametrize("architecture", MODELS)
def test_a_training_killed_in_an_epoch_and_in_a_validation_ends_with_the_same_bits(
    corpus, tmp_path, architecture
):
    settings, ingredients = tiny_settings(corpus, architecture), dict(INGREDIENTS[architecture])
    settings["model"].update(ingredients.pop("model"))
    settings["training"].update(ingredients)
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "whole")
    run = Run(tmp_path / "killed")
    train_and_be_killed(config, run.root, "step", 7)
    assert run.find_checkpoint("latest").name == "step-00000006"
    train_and_be_killed(config, run.root, "validation", 12)
    resumed_at = {"checkpoints": 9, "ema": 8}[settings["training"]["averaging"]["method"]]
    assert run.find_checkpoint("latest").name == f"step-{resumed_at:08d}"
    assert not run.validation_translations(12).exists()
    events = train_in_process(config, run.root)
    assert of_kind(events, ModelReady)[0].step == resumed_at
    assert outcome(run.root) == outcome(tmp_path / "whole")
    folder = run.find_checkpoint("latest")
    averaged, weights = (folder / f"{n}.safetensors" for n in ("averaged", "model"))
    assert averaged.read_bytes() != weights.read_bytes()


def test_a_validation_translates_as_the_run_does_and_records_it(
    tmp_path, settings, corpus, monkeypatch
):
    use_light_step(monkeypatch)
    settings["training"].update(max_steps=2, validation_steps=2)
    settings["decoding"]["precision"] = "bfloat16"
    events = train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    run = Run(tmp_path / "run")
    description, sentences = read_record(run.root / "translations" / "step-00000002.jsonl")
    assert (description["kind"], description["step"]) == ("validation", 2)
    assert description["decoding"]["precision"] == "bfloat16"
    (validated,) = of_kind(events, Validated)
    result = validated.result
    assert {s["name"]: s["value"] for s in description["scores"]} == {
        name: result.metrics[name] for name in ("bleu", "chrf")
    }
    assert set(result.metrics) == {"loss", "perplexity", "token_accuracy", "bleu", "chrf"}
    assert result.signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert len(result.samples) == 3
    lines = list(sentences)
    sources = (corpus / "validation.digits").read_text().splitlines()
    assert [line["source"] for line in lines] == sources
    references = (corpus / "validation.words").read_text().splitlines()
    assert [line["reference"] for line in lines] == references
    # What `s2s translate` gives, bit by bit; float32 gives other scores.
    translator = Translator.from_run(run)
    assert translator.decoding.precision == "bfloat16"
    found = translator.translate(sources)
    assert [line["tokens"] for line in lines] == [list(one.tokens) for one in found]
    assert [line["log_probability"] for line in lines] == [
        round(one.log_probability, 6) for one in found
    ]
    decoding = translator.decoding.model_copy(update={"precision": "float32"})
    exact = Translator.from_run(run, decoding=decoding).translate(sources)
    assert [one.log_probability for one in exact] != [one.log_probability for one in found]
