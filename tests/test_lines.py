"""One line out for every line in, whatever is in it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import s2s
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.commands.translate import Layout, Oddities, read_sentences, translate_lines
from s2s_cli.decoding.long_sources import parts
from s2s_cli.decoding.translator import Translator
from s2s_cli.run import Run

ODD = [
    b"", b"   ", b"\t", b"\0", b"1 \0 2", b"1\r2", b"3 4\r", "\u2028\u2029\x85\x0b\x0c".encode(),
    "\u202e1 2 3".encode(),
    "👩‍👩‍👧‍👦 🏳️‍🌈".encode(), "שלום 1".encode(), b"\xff\xfe1", b"\xed\xa0\x80", "\ufeff2".encode(),
    "\U0010ffff".encode(), b"<s> </s> <pad> <unk>", b"1 ||| 2",
]  # fmt: skip


@pytest.fixture(scope="module")
def translator(trained) -> Translator:
    return Translator.from_run(Run(trained))


any_line = st.one_of(
    st.binary(max_size=30), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(any_line, max_size=6))
def test_there_is_one_line_for_each_line_of_any_bytes(translator, tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "any"
    lines = [line.replace(b"\n", b"") for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    noted = Oddities()
    written = list(
        translate_lines(
            translator, read_sentences(str(path), (), "replace", noted), Layout(), noted, chunk=4
        )
    )
    assert len(written) == len(lines)
    assert all(len(line.splitlines()) <= 1 for line in written)


def test_odd_lines_of_a_file_come_out_one_by_one_and_are_told_of(trained):
    process = s2s("translate", trained, stdin=b"\n".join(ODD) + b"\n")
    assert process.returncode == 0
    assert process.stdout.count(b"\n") == len(ODD)
    assert process.out.split("\n")[:3] == ["", "", ""]
    assert process.err == (
        "warning: 2 lines are not UTF-8; U+FFFD stands where it is not (--errors strict stops"
        " there); the first is line 12\n"
    )


def test_what_is_no_text_may_stand_on_the_command_line(trained):
    process = s2s("translate", trained, os.fsdecode(b"1 \xff 2"), "", "3\n4")
    assert process.returncode == 0 and process.out.count("\n") == 3, process.err
    assert "warning: 1 line is not UTF-8" in process.err


def test_strict_stops_at_the_first_line_that_is_not_utf8(trained, tmp_path):
    (tmp_path / "in").write_bytes(b"1 2\n3 \xff\n")
    process = s2s(
        "translate", trained, "--errors", "strict", "-i", tmp_path / "in", "-o", tmp_path / "out"
    )
    assert process.returncode == 1 and not list(tmp_path.glob("*out*"))
    assert process.err == (
        f"error: {tmp_path / 'in'}:2: this line is not UTF-8 (byte 3: invalid start byte).\n"
        "hint: Convert it, or let --errors replace put U+FFFD where it is not.\n"
    )


def test_a_long_source_is_split_or_truncated_and_told_of(trained):
    long = "1 2 3 4 5 6 7 8"  # 15 characters, and a mark where it begins
    arguments = ("translate", trained, "--max-source-length", 6, "9", long)
    split = s2s(*arguments)
    whole = s2s("translate", trained, "9", "1 2 3", "4 5 6", "7 8").out.split("\n")
    assert split.out == f"{whole[0]}\n{' '.join(whole[1:4])}\n"
    assert split.err == (
        "warning: 1 line is longer than 6 pieces and translated in parts (--long-sources);"
        " the first is line 2\n"
    )
    truncated = s2s(*arguments, "--long-sources", "truncate")
    assert truncated.out == f"{whole[0]}\n{whole[1]}\n" and "cut off there" in truncated.err


def test_the_parts_of_a_long_source_keep_their_alignments_and_scores(trained):
    decoding = (
        Run(trained)
        .config()
        .decoding.model_copy(update={"max_source_length": 6, "beam_size": 2, "n_best": 2})
    )
    found = Translator.from_run(Run(trained), decoding=decoding).n_best(
        ["1 2 3 4 5 6", "1 2 3", "4 5 6"]
    )
    best, first, second = (translations[0] for translations in found)
    assert best.is_long and not first.is_long and len(found[0]) == 2
    assert best.log_probability == pytest.approx(
        first.log_probability + second.log_probability, abs=1e-4
    )
    assert best.source_tokens == first.source_tokens + second.source_tokens
    shift = len(first.source_tokens), len(first.tokens)
    assert best.alignment == first.alignment + tuple(
        (i + shift[0], j + shift[1]) for i, j in second.alignment
    )


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9))
def test_parts_are_the_whole_and_none_is_too_long(ids, most):
    pieces = ["\u2581a", "b", ".", "\u2581c", "d!", "\u2581"]
    found = parts(ids, pieces, most)
    assert [i for part in found for i in part] == ids
    assert all(1 <= len(part) <= most for part in found) or not ids
    assert len(found) <= 1 + 2 * len(ids) // most


def test_a_part_ends_behind_a_sentence_else_before_a_word():
    pieces = ["\u2581a", "b", "."]
    assert parts([0, 1, 0, 1, 2, 0, 1, 1], pieces, 7)[0] == [0, 1, 0, 1, 2]
    assert parts([0, 1, 0, 1, 0, 1, 1], pieces, 6)[0] == [0, 1, 0, 1]
    assert parts([1] * 9, pieces, 4) == [[1] * 4, [1] * 4, [1]]


def test_a_broken_pipe_ends_quietly(trained, tmp_path):
    (tmp_path / "in").write_text("1 2\n" * 20_000)
    command = f"{sys.executable} -m s2s_cli translate {trained} -i {tmp_path / 'in'} | head -n 1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert process.stdout.count(b"\n") == 1
    assert process.stderr == b""


def test_an_interrupted_translation_leaves_nothing_behind(trained, tmp_path):
    (tmp_path / "in").write_text("1 2 3 4 5 6 7\n" * 200_000)
    command = [
        sys.executable,
        "-m",
        "s2s_cli",
        "translate",
        str(trained),
        "-i",
        str(tmp_path / "in"),
    ]
    process = subprocess.Popen([*command, "-o", str(tmp_path / "out")], stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".out*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b"" and process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
