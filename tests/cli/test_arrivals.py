"""Lines of a pipe are translated when they have arrived, those of a file in chunks."""

import threading

import pytest

from s2s_cli.cli.arrivals import arrived_chunks
from s2s_cli.text.chunks import chunks


def test_a_file_is_cut_into_chunks_of_one_size():
    assert list(chunks("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(chunks([], 2)) == []


def test_what_has_arrived_is_returned_while_the_writer_waits():
    answered = threading.Event()

    def lines():
        yield from ("a", "b")
        assert answered.wait(60)  # the writer waits for the answers to its first lines
        yield from ("c", "d", "e")

    found = arrived_chunks(lines(), 4)
    first = next(found)
    while len(first) < 2:
        first += next(found)
    assert first == ["a", "b"]
    answered.set()
    assert [line for chunk in found for line in chunk] == ["c", "d", "e"]


def test_chunks_are_bounded_and_an_error_comes_after_the_lines_before_it():
    def lines():
        yield from "abc"
        raise ValueError("no text")

    found, read = arrived_chunks(lines(), 2), []
    with pytest.raises(ValueError, match="no text"):
        for chunk in found:
            assert len(chunk) <= 2
            read += chunk
    assert read == ["a", "b", "c"]
