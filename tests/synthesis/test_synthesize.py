"""Making a corpus of translations: what is written, left out, recorded, and done again."""

import json
from pathlib import Path

import pytest

from s2s_cli.config.schema import Decoding, FileFingerprint
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import DataError
from s2s_cli.files import sha256
from s2s_cli.runs.checkpoint import save_checkpoint
from s2s_cli.runs.run import Run
from s2s_cli.synthesis import synthesize as module
from s2s_cli.synthesis.parts import Parts
from s2s_cli.synthesis.synthesize import Selection, SynthesisCounts, Task, synthesize

SENTENCES = ["a b", " ", "gone", "endless", "c\td", "e", "f"]
SCORES = {"a b": -0.5, "c\td": -2.0, "e": -1.0, "f": -0.25}


class Upper:
    """Translates into capital letters; `fails_at` is the sentence at which it is interrupted."""

    def __init__(self, decoding: Decoding, fails_at: str | None = None):
        self.decoding, self.fails_at = decoding, fails_at
        self.translated: list[str] = []

    def translate(self, sentences, on_batch):
        if self.fails_at in sentences:
            raise KeyboardInterrupt
        self.translated += sentences
        on_batch(len(sentences))
        return [self._one(sentence) for sentence in sentences]

    def _one(self, sentence: str) -> Translation:
        text = "" if sentence.strip() in ("", "gone") else sentence.upper()
        tokens = tuple(text)
        scores = (0.0,) * (len(tokens) + (sentence != "endless"))
        return Translation(text, SCORES.get(sentence, 0.0), tokens=tokens, token_scores=scores)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 2)


@pytest.fixture
def task(tmp_path):
    """A task on SENTENCES; its run has one checkpoint."""
    checkpoint = Run(tmp_path / "run").checkpoint(7)
    save_checkpoint(checkpoint, weights={}, optimizer={}, state={})
    inputs = [FileFingerprint(key="input", path="/text", sha256="12")]

    def make(kind="backtranslation", name="bt.jsonl", **selection) -> Task:
        output = tmp_path / name
        return Task(kind, [Run(tmp_path / "run")], "7", inputs, output, Selection(**selection))

    return make


def made(task: Task, translator=None, **options):
    return synthesize(task, translator or Upper(Decoding()), SENTENCES, **options)


def pairs(path: Path) -> list[tuple[str, str, float]]:
    return [tuple(json.loads(line).values()) for line in path.read_text().splitlines()]


def test_backtranslation_has_the_given_text_as_target_and_leaves_out_what_is_no_pair(task):
    done = []
    result = made(task(), on_done=done.append)
    assert pairs(result.corpus) == [
        ("A B", "a b", -0.5),
        ("C\tD", "c\td", -2.0),
        ("E", "e", -1.0),
        ("F", "f", -0.25),
    ]
    assert result.counts == SynthesisCounts(
        read=7, written=4, empty=1, untranslated=1, unfinished=1
    )
    assert sum(done) == 7 and not result.was_there
    assert not Parts(result.corpus).folder.exists()


def test_distillation_has_the_given_text_as_source(task):
    assert pairs(made(task("distillation")).corpus)[0] == ("a b", "A B", -0.5)


@pytest.mark.parametrize(
    ("selection", "sources"),
    [
        ({"keep": 0.5}, ["a b", "f"]),
        ({"keep": 0.75}, ["a b", "e", "f"]),
        ({"keep": 0.01}, ["f"]),
        ({"min_score": -1.0}, ["a b", "e", "f"]),
        ({"min_score": -0.3, "keep": 0.75}, ["f"]),
    ],
)
def test_translations_are_selected_by_score(task, selection, sources):
    result = made(task("distillation", **selection))
    assert [source for source, _, _ in pairs(result.corpus)] == sources
    assert result.counts.below_score == 4 - len(sources)


def test_the_record_says_what_made_the_corpus(task, tmp_path):
    result = made(task(keep=0.5), Upper(Decoding(beam_size=3)))
    record = json.loads(result.record.read_text())
    assert result.record == tmp_path / "bt.record.json"
    assert record["kind"] == "backtranslation"
    assert record["runs"] == [str(tmp_path / "run")]
    weights = tmp_path / "run" / "checkpoints" / "step-00000007" / "model.safetensors"
    files = {"model.safetensors": sha256(weights)}
    assert record["checkpoints"] == [{"step": 7, "files": files}]
    assert record["decoding"]["beam_size"] == 3
    assert record["inputs"] == [{"path": "/text", "sha256": "12"}]
    assert record["selection"] == {"min_score": None, "keep": 0.5, "lowest_score": -0.5}
    assert record["counts"] == vars(result.counts)
    assert record["corpus"] == {"name": "bt.jsonl", "sha256": sha256(result.corpus)}


def test_an_interrupted_task_goes_on_with_the_missing_parts_and_gives_the_same_file(task):
    whole = made(task(name="whole.jsonl"))
    with pytest.raises(KeyboardInterrupt):
        made(task(), Upper(Decoding(), fails_at="e"))
    assert not task().output.exists()
    damaged = Parts(task().output).folder / "part-000000"
    damaged.write_bytes(damaged.read_bytes().replace(b"A B", b"A C"))
    translator, done = Upper(Decoding()), []
    again = made(task(), translator, on_done=done.append)
    assert translator.translated == ["a b", " ", "c\td", "e", "f"] and sum(done) == 7
    assert again.corpus.read_bytes() == whole.corpus.read_bytes()


def test_a_finished_task_is_not_done_again(task):
    first = made(task())
    translator = Upper(Decoding())
    again = made(task(), translator)
    assert translator.translated == [] and again.was_there
    assert (again.counts, again.record) == (first.counts, first.record)


def test_a_corpus_of_another_task_is_not_replaced_without_force(task):
    made(task())
    other = Upper(Decoding(beam_size=2))
    with pytest.raises(DataError, match="this file exists"):
        made(task(), other)
    assert not made(task(), other, force=True).was_there
    task().output.write_text("changed\n")
    with pytest.raises(DataError, match="this file exists"):
        made(task(), other)


def test_unfinished_work_of_another_task_is_not_replaced_without_force(task):
    with pytest.raises(KeyboardInterrupt):
        made(task(), Upper(Decoding(), fails_at="e"))
    other = Upper(Decoding(beam_size=2))
    with pytest.raises(
        DataError, match=r"unfinished work of another command; it differs in decoding"
    ):
        made(task(), other)
    made(task(), other, force=True)
    assert other.translated == SENTENCES


def test_a_corpus_without_pairs_is_an_error(task):
    with pytest.raises(DataError, match=r"no pair is left to write: .* 4 with a lower score"):
        made(task(min_score=1.0))
    assert not task().output.exists()


def test_a_name_that_says_another_format_is_refused(task):
    with pytest.raises(DataError, match="must end in") as caught:
        made(task(name="bt.tsv"))
    assert "bt.jsonl" in caught.value.hint
