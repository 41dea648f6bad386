"""Files are read by what they hold, whatever their names are."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile

import pytest
import zstandard

from s2s_cli.config.schema import Corpus
from s2s_cli.errors import DataError
from s2s_cli.text.corpus import read_pairs
from s2s_cli.text.lines import Reading, read_lines
from s2s_cli.text.rows import Pair

TEXT = "".join(f"one {i}\teins {i}\n" for i in range(5000)).encode()
PACKED = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "two gzip members": gzip.compress(TEXT[:9000]) + gzip.compress(TEXT[9000:]),
    "xz": lzma.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "zstandard": zstandard.compress(TEXT),
}


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("pairs.tsv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return file.getvalue()


TAR = _tar()


@pytest.mark.parametrize("name", ["a.tsv", "a.gz", "a"])
@pytest.mark.parametrize("packing", PACKED)
def test_a_packed_file_gives_the_same_pairs_whatever_its_name(tmp_path, packing, name):
    path = tmp_path / name
    path.write_bytes(PACKED[packing])
    progress = Reading()
    pairs = list(read_pairs(Corpus(tsv=str(path)), reading=progress))
    assert pairs == [Pair(f"one {i}", f"eins {i}") for i in range(5000)]
    assert progress.done == len(PACKED[packing])


@pytest.mark.parametrize("packing", ["gzip", "xz", "bzip2", "zstandard"])
def test_a_packed_file_that_ends_too_early_is_refused_with_the_line(tmp_path, packing):
    (tmp_path / "a").write_bytes(PACKED[packing][: len(PACKED[packing]) // 2])
    with pytest.raises(DataError, match=r"a: cannot be read after line \d+: "):
        list(read_lines(str(tmp_path / "a")))


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        ("a\tb\n".encode("utf-16"), "it is UTF-16, not UTF-8.", "iconv -f UTF-16 -t UTF-8 "),
        ("a\tb\n".encode("utf-32"), "it is UTF-32, not UTF-8.", "iconv -f UTF-32 -t UTF-8 "),
        ("a bird\tb\n".encode("utf-16-le"), "it is UTF-16LE, not UTF-8.", "iconv -f UTF-16LE"),
        ("a bird\tb\n".encode("utf-16-be"), "it is UTF-16BE, not UTF-8.", "iconv -f UTF-16BE"),
        (gzip.compress("a bird\tb\n".encode("utf-16-be")), "it is UTF-16BE, not", "iconv"),
        ("птица\tVogel\n".encode("utf-16-le"), "it is UTF-16LE, not UTF-8.", "iconv -f UTF-16LE"),
        ("птица\tVogel\n".encode("utf-16-be"), "it is UTF-16BE, not UTF-8.", "iconv -f UTF-16BE"),
        ("我们 去\tVogel\n".encode("utf-16-le"), "it is UTF-16LE, not UTF-8.", "iconv -f UTF-16LE"),
        (TAR, "it is a tar archive, not text.", "tar -xf '"),
        (gzip.compress(TAR), "it is a tar archive, not text.", "tar -xf '"),
        (b"\x89PNG\r\n\x1a\n" + b"\1\0\0" * 99, "it is binary, not text.", "Export it"),
        (b"\x04\x22\x4d\x18...", "it is packed by LZ4, not text.", "lz4 -d '"),
        (b"PK\x03\x04...", "it is a zip archive, not text.", "Unpack it with `unzip '"),
        (b"PAR1...", "it is a Parquet file, not text.", "Name it under `path:`."),
    ],
    ids=[
        "UTF-16",
        "UTF-32",
        "UTF-16LE",
        "UTF-16BE",
        "packed UTF-16BE",
        "Russian",
        "BE",
        "Chinese",
        "tar",
        "tgz",
        "PNG",
        "LZ4",
        "zip",
        "Parquet",
    ],
)
def test_what_is_no_text_is_named_with_the_command_that_makes_it_text(
    tmp_path, content, what, hint
):
    path = tmp_path / "a file"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_lines(str(path)))
    assert caught.value.message.startswith(f"{path}: {what}") and hint in caught.value.hint


def test_a_zero_byte_in_text_does_not_make_it_another_encoding(tmp_path):
    (tmp_path / "a").write_bytes(b"one\0\n")
    assert list(read_lines(str(tmp_path / "a"))) == ["one\0"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "a").write_bytes(PACKED["zstandard"])
    with pytest.raises(DataError, match="packed by Zstandard") as caught:
        list(read_lines(str(tmp_path / "a")))
    assert caught.value.hint == 'pip install "s2s-cli[zstd]"'
