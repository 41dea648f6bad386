"""Every shipped config trains, on a corpus small enough for a test."""

import random
from pathlib import Path

import pytest
from conftest import DIGITS, train_in_process
from light_training import use_light_step

from s2s_cli.training.events import Finished, VectorsMatched

CONFIGS = sorted((Path(__file__).parent.parent.parent / "configs").glob("*.yaml"))
# Its step is compiled; of the others, all is real but the arithmetic of a step.
COMPILED = {"quickstart"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """A tsv of digits and words, and vectors for both sides."""
    folder = tmp_path_factory.mktemp("pairs")
    chooser = random.Random(4)
    lines = []
    for _ in range(120):
        number = [chooser.randrange(10) for _ in range(chooser.randint(1, 5))]
        lines.append(" ".join(map(str, number)) + "\t" + " ".join(DIGITS[i] for i in number))
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")
    for side, words in (("source", "0123456789"), ("target", DIGITS)):
        rows = (f"{word} " + " ".join(str(chooser.random()) for _ in range(300)) for word in words)
        (folder / f"{side}.vec").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_trains(config, pairs, tmp_path, monkeypatch):
    if config.stem not in COMPILED:
        use_light_step(monkeypatch)
    tsv = pairs / "pairs.tsv"
    overrides = [
        f"data.train={{tsv: {tsv}}}",
        f"data.validation={{tsv: {tsv}, max_pairs: 8}}",
        "tokenizer.vocab_size=45",
        "training.max_steps=2",
        "training.max_minutes=null",
        "decoding.max_length=8",
    ]
    if "vectors" in config.stem:
        overrides += [f"model.embedding.vectors.{s}={pairs / s}.vec" for s in ("source", "target")]
    events = train_in_process(config, tmp_path / "run", *overrides)
    assert isinstance(events[-1], Finished) and events[-1].step == 2
    matched = [event.matched for event in events if isinstance(event, VectorsMatched)]
    assert matched == ([10, 10] if "vectors" in config.stem else [])
