"""How translations are written, and which input gets a warning."""

import json

import pytest

from s2s_cli.cli.output import InputWarnings, Layout, line_count, read_sentences
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import DataError

BEST = Translation(
    "ein\nHaus", -0.5, -1.0, 3, ("▁a", "▁house"), ("▁ein", "▁Haus"), (), ((0, 0), (1, 1))
)
SECOND = Translation("Haus", -0.75, -1.5, 2, ("▁a", "▁house"), ("▁Haus",), (), ((1, 0),))


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        (Layout(), ["ein Haus"]),
        (Layout(scores=True, alignments=True), ["ein Haus ||| -0.500000 ||| 0-0 1-1"]),
        (Layout(n_best=True), ["7 ||| ein Haus ||| log_probability= -1.000000 ||| -0.500000",
                               "7 ||| Haus ||| log_probability= -1.500000 ||| -0.750000"]),
        (Layout(n_best=True, alignments=True),
         ["7 ||| ein Haus ||| log_probability= -1.000000 ||| -0.500000 ||| 0-0 1-1",
          "7 ||| Haus ||| log_probability= -1.500000 ||| -0.750000 ||| 1-0"]),
    ],
)  # fmt: skip
def test_each_layout_writes_one_line_a_hypothesis(layout, lines):
    assert list(layout.lines(7, [BEST, SECOND])) == lines


def test_the_separator_inside_a_text_is_escaped_where_a_line_has_several_fields():
    found = [Translation("rot ||| Vogel", -0.5, -1.0, 3, (), (), (), ())]
    assert list(Layout().lines(0, found)) == ["rot ||| Vogel"]
    escaped = "rot &#124;&#124;&#124; Vogel"
    assert list(Layout(scores=True).lines(0, found)) == [f"{escaped} ||| -0.500000"]
    (line,) = Layout(n_best=True).lines(0, found)
    assert line.split(" ||| ") == ["0", escaped, "log_probability= -1.000000", "-0.500000"]


def test_json_holds_every_hypothesis_of_a_sentence_in_one_line():
    (line,) = Layout(as_json=True).lines(7, [BEST, SECOND])
    assert json.loads(line) == {
        "id": 7,
        "source_tokens": ["▁a", "▁house"],
        "hypotheses": [
            {
                "text": "ein Haus",
                "score": -0.5,
                "log_probability": -1.0,
                "tokens": ["▁ein", "▁Haus"],
                "alignment": [[0, 0], [1, 1]],
            },
            {
                "text": "Haus",
                "score": -0.75,
                "log_probability": -1.5,
                "tokens": ["▁Haus"],
                "alignment": [[1, 0]],
            },
        ],
    }


def test_input_that_is_not_utf8_is_replaced_with_a_warning_or_refused(tmp_path):
    path = tmp_path / "in"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\xff\nc")
    warnings = InputWarnings()
    assert list(read_sentences(str(path), (), "replace", warnings)) == ["a", "b�", "c"]
    assert warnings.not_utf8 == [2] and line_count(str(path)) == 3
    with pytest.raises(DataError, match=r"in:2: this line is not UTF-8 \(byte 2"):
        list(read_sentences(str(path), (), "strict", InputWarnings()))
    assert list(read_sentences("-", ["x", "y"], "strict", warnings)) == ["x", "y"]


def test_each_kind_of_warning_is_one_sentence_that_names_the_option():
    warnings = InputWarnings(not_utf8=[3], too_long=list(range(5, 2005)))
    assert list(warnings.sentences(100, "split")) == [
        "1 line is not UTF-8; U+FFFD replaces what is not (--errors strict stops there instead);"
        " the first is line 3",
        "2,000 lines are longer than 100 tokens and translated in parts (--long-sources);"
        " the first is line 5",
    ]
    assert "cut off there" in next(InputWarnings(too_long=[1]).sentences(9, "truncate"))
    assert list(InputWarnings().sentences(100, "split")) == []
