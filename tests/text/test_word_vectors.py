"""Files of word vectors, as other programs and people write them."""

import pytest

from s2s_cli.errors import DataError
from s2s_cli.text.word_vectors import (
    NOT_UTF8,
    OTHER_LENGTH,
    REPEATED,
    describe_skipped,
    read_word_vectors,
)

TOKENS = ["<pad>", "<unk>", "<s>", "</s>", "▁dog", "▁cat", "s", "▁"]


def read(path, content: bytes, size: int = 3) -> tuple[dict, dict]:
    path.write_bytes(content)
    found = read_word_vectors(str(path), TOKENS, size)
    return {TOKENS[i]: vector.tolist() for i, vector in found.rows.items()}, dict(found.skipped)


@pytest.mark.parametrize("header", [b"", b"2 3\n"], ids=["no header", "header"])
@pytest.mark.parametrize("separator", [b" ", b"\t", b"  "], ids=["space", "tab", "two spaces"])
@pytest.mark.parametrize("end", [b"\n", b" \n", b"\r\n"], ids=["LF", "space LF", "CR LF"])
def test_separators_line_ends_and_headers_are_recognised(tmp_path, header, separator, end):
    lines = [separator.join([b"dog", b"1", b"2", b"3"]), separator.join([b"s", b"4", b"5e0", b"6"])]
    found, skipped = read(tmp_path / "v", header + b"".join(line + end for line in lines))
    assert found == {"▁dog": [1, 2, 3], "s": [4, 5, 6]} and skipped == {}


def test_what_cannot_be_used_is_skipped_and_counted_by_reason(tmp_path):
    content = (
        b"dog 1 2 3\n"
        b"dog 7 7 7\n"  # the first counts
        b"New York 1 1 1\n"  # a word with a space
        b". . . 2 2 2\n"
        b"cat 1 2\n"
        b"cat 1 2 3 4\n"
        b"caf\xe9 1 2 3\n"
        b"\n"
        b"cat 4 5 6\n"
    )
    found, skipped = read(tmp_path / "v", content)
    assert found == {"▁dog": [1, 2, 3], "▁cat": [4, 5, 6]}
    assert skipped == {REPEATED: 1, OTHER_LENGTH: 2, NOT_UTF8: 1}
    assert describe_skipped(skipped) == (
        "1 line that repeat a word, 2 lines of another length, 1 line whose word is not UTF-8"
    )


@pytest.mark.parametrize("value", [b"nan", b"inf", b"-inf", b"1e39"])
def test_a_value_that_is_not_finite_is_refused_with_its_line(tmp_path, value):
    with pytest.raises(DataError) as caught:
        read(tmp_path / "v", b"bird nan 1 1\ndog 1 2 " + value + b"\n")
    assert caught.value.message == (
        f"{tmp_path / 'v'}:2: the vector of 'dog' holds a value that is not finite in float32."
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"dog 1 2\n", 2), (b"dog 1 2 3 4\n", 4), (b"9 4\ndog 1 2 3 4\n", 4), (b"dog,1,2,3\n", 0)],
)
def test_vectors_of_another_size_are_refused_with_the_size_that_they_have(tmp_path, content, found):
    with pytest.raises(DataError) as caught:
        read(tmp_path / "v", content)
    assert caught.value.message == (
        f"{tmp_path / 'v'}:1: the vectors have {found} values; model.embedding.size is 3."
    )
    assert ("Set model.embedding.size to" in caught.value.hint) == (found > 0)
