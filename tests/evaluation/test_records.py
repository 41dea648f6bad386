"""Records of translated sentences are read back as they were written."""

import json
import math

import pytest

from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import RunError
from s2s_cli.evaluation.metrics import Score, Scoring, score_translations
from s2s_cli.evaluation.records import TranslationRecord, read_record, write_record

TRANSLATION = Translation(
    "ein Haus\nam See",
    score=-0.25,
    log_probability=-0.5,
    length=2,
    source_tokens=("a", "house"),
    tokens=("ein", "Haus"),
    token_scores=(-0.125, -0.25, -0.125),
    alignment=((0, 0), (1, 1)),
)
SCORE = Score("bleu", 12.5, "nrefs:1|case:mixed")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "translations" / "step-00000007.jsonl"
    decoding = Decoding(beam_size=4, precision="float32")
    sentences = [("a house", ["ein Haus"], TRANSLATION), ("", ["\u2028"], Translation(""))]
    record = TranslationRecord("validation", 7, decoding, [SCORE])
    write_record(path, record, iter(sentences))
    return path


def test_a_record_is_read_back_as_it_was_written(path):
    description, sentences = read_record(path)
    assert (description["record"], description["kind"], description["step"]) == (
        1,
        "validation",
        7,
    )
    assert Decoding.model_validate(description["decoding"]).beam_size == 4
    assert description["scores"] == [
        {"name": "bleu", "value": 12.5, "signature": "nrefs:1|case:mixed"}
    ]
    first, second = sentences
    assert first == {
        "source": "a house",
        "reference": "ein Haus",
        "translation": "ein Haus am See",
        "score": -0.25,
        "log_probability": -0.5,
        "source_tokens": ["a", "house"],
        "tokens": ["ein", "Haus"],
        "token_scores": [-0.125, -0.25, -0.125],
        "alignment": [[0, 0], [1, 1]],
    }
    assert second["reference"] == "\u2028" and second["tokens"] == []


def test_a_record_holds_intervals_tables_and_several_references(tmp_path):
    score = Score("bleu", 12.5, "nrefs:2|bs:1000", (11.5, 13.5))
    tables = {"by_length": {"side": "source", "buckets": []}}
    record = TranslationRecord("evaluation", 7, Decoding(), [score], tables)
    write_record(tmp_path / "x.jsonl", record, [("a house", ["ein Haus", "Haus"], TRANSLATION)])
    description, (sentence,) = read_record(tmp_path / "x.jsonl")
    assert description["scores"][0]["interval"] == [11.5, 13.5]
    assert description["by_length"] == tables["by_length"]
    assert sentence["reference"] == "ein Haus"
    assert sentence["references"] == ["ein Haus", "Haus"]


def test_each_sentence_is_a_line_of_json(path):
    lines = path.read_bytes().split(b"\n")
    assert len(lines) == 4 and lines[-1] == b""
    assert all(json.loads(line) for line in lines[:-1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is no record of translations"),
        (b"ein Haus\n", "this is no record of translations"),
        (b"[1]\n", "this is no record of translations"),
        (b'{"step": 1}\n', "this is no record of translations"),
        (b"\xff\n", "this is no record of translations"),
        (b'{"record": 2}\n', "this record has format 2, not 1"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_record(tmp_path / "x.jsonl")


def test_a_damaged_sentence_is_refused_with_its_line(path):
    lines = path.read_text().split("\n")
    lines[2] = lines[2][:-1]
    path.write_text("\n".join(lines))
    _, sentences = read_record(path)
    next(sentences)
    with pytest.raises(RunError, match=r"step-00000007\.jsonl:3: "):
        next(sentences)


def test_scores_are_those_of_sacrebleu_with_signatures():
    texts = ["the cat sat on the mat"] * 3
    bleu, chrf, ter = score_translations(texts, [texts], Scoring("13a"))
    assert (bleu.name, chrf.name, ter.name) == ("bleu", "chrf", "ter")
    assert math.isclose(bleu.value, 100) and math.isclose(chrf.value, 100) and ter.value == 0
    assert bleu.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert chrf.signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert ter.signature.startswith(
        "nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:"
    )
    zh, *_ = score_translations(["猫坐在垫子上"], [["猫坐在垫子上"]], Scoring("zh"))
    assert "tok:zh" in zh.signature and math.isclose(zh.value, 100)
    # No advice about texts that look tokenised, and no warning about short ones.
    assert score_translations(["a ."], [["a , ."]], Scoring("13a"))[0].value < 100
