"""`s2s translate` writes one line for every line that it reads, whatever is in it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import s2s, s2s_here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.cli.output import InputWarnings, Layout, read_sentences
from s2s_cli.cli.translate import translated_lines
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import S2SError
from s2s_cli.runs.run import Run
from s2s_cli.text.chunks import chunks

pytestmark = pytest.mark.slow

ODD_LINES = [
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


def ignore(count: int) -> None:
    pass


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(any_line, max_size=6))
def test_there_is_one_line_for_each_line_of_any_bytes(translator, tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "any"
    lines = [line.replace(b"\n", b"") for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    warnings = InputWarnings()
    sentences = read_sentences(str(path), (), "replace", warnings)
    some = chunks(sentences, 4)
    found = translated_lines(translator, some, Layout(), warnings, on_batch=ignore)
    written = [line for lines in found for line in lines]
    assert len(written) == len(lines)
    assert all(len(line.splitlines()) <= 1 for line in written)


def test_too_little_memory_names_the_options_to_lower(translator, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(translator, "search", refuse)
    with pytest.raises(S2SError) as caught:
        list(translated_lines(translator, [["1 2"]], Layout(), InputWarnings(), on_batch=ignore))
    assert caught.value.message == (
        "memory is too short to translate 128 sentences at once, each of up to 100 tokens."
    )
    assert caught.value.hint == "Lower --batch-size, --beam-size or --max-source-length."


def test_odd_lines_are_translated_one_by_one_and_warned_of(trained):
    process = s2s("translate", trained, stdin=b"\n".join(ODD_LINES) + b"\n")
    assert process.returncode == 0
    assert process.stdout.count(b"\n") == len(ODD_LINES)
    assert process.out.split("\n")[:3] == ["", "", ""]
    assert process.err == (
        "warning: 2 lines are not UTF-8; U+FFFD replaces what is not (--errors strict stops"
        " there instead); the first is line 12\n"
    )


def test_a_line_is_answered_while_the_pipe_stays_open(trained):
    expected = s2s_here("translate", trained, "1 2", "3").out.splitlines(keepends=True)
    command = [sys.executable, "-m", "s2s_cli", "translate", str(trained)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        for line, answer in zip(("1 2\n", "3\n"), expected, strict=True):
            it.stdin.write(line)
            it.stdin.flush()
            assert it.stdout.readline() == answer
        it.stdin.close()
        assert it.stdout.read() == "" and it.wait() == 0


def test_bytes_that_are_not_text_may_stand_on_the_command_line(trained):
    process = s2s_here("translate", trained, os.fsdecode(b"1 \xff 2"), "", "3\n4")
    assert process.returncode == 0 and process.out.count("\n") == 3, process.err
    assert "warning: 1 line is not UTF-8" in process.err


def test_strict_stops_at_the_first_line_that_is_not_utf8(trained, tmp_path):
    (tmp_path / "in").write_bytes(b"1 2\n3 \xff\n")
    process = s2s_here(
        "translate", trained, "--errors", "strict", "-i", tmp_path / "in", "-o", tmp_path / "out"
    )
    assert process.returncode == 1 and not list(tmp_path.glob("*out*"))
    assert process.err == (
        f"error: {tmp_path / 'in'}:2: this line is not UTF-8 (byte 3: invalid start byte).\n"
        "hint: Convert it, or let --errors replace put U+FFFD where it is not.\n"
    )


def test_a_long_source_is_split_or_truncated_with_a_warning(trained):
    long = "1 2 3 4 5 6 7 8"  # 15 characters, and the mark of a word at the start
    arguments = ("translate", trained, "--max-source-length", 6, "9", long)
    split = s2s_here(*arguments)
    whole = s2s_here("translate", trained, "9", "1 2 3", "4 5 6", "7 8").out.split("\n")
    assert split.out == f"{whole[0]}\n{' '.join(whole[1:4])}\n"
    assert split.err == (
        "warning: 1 line is longer than 6 tokens and translated in parts (--long-sources);"
        " the first is line 2\n"
    )
    truncated = s2s_here(*arguments, "--long-sources", "truncate")
    assert truncated.out == f"{whole[0]}\n{whole[1]}\n" and "cut off there" in truncated.err


def test_a_reader_that_goes_away_ends_the_program_quietly(trained, tmp_path):
    (tmp_path / "in").write_text("1 2\n" * 20_000)
    command = f"{sys.executable} -m s2s_cli translate {trained} -i {tmp_path / 'in'} | head -n 1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert process.stdout.count(b"\n") == 1
    assert process.stderr == b""
    command = [sys.executable, "-m", "s2s_cli", "translate", str(trained), "1", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_translation_leaves_nothing_behind(trained, tmp_path, number):
    (tmp_path / "in").write_text("1 2 3 4 5 6 7\n" * 200_000)
    arguments = ["translate", trained, "-i", tmp_path / "in", "-o", tmp_path / "out"]
    command = [sys.executable, "-m", "s2s_cli", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".out*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.communicate()[1] == b"" and process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
