"""Test sets, and files of their translations: what is read and what is refused."""

import pytest

from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import DataError
from s2s_cli.evaluation.inputs import read_test_set, read_translations
from s2s_cli.evaluation.records import TranslationRecord, write_record


@pytest.fixture
def files(tmp_path):
    for name, text in (("s", "1\n2\n"), ("a", "one\ntwo\n"), ("b", "eins\nzwei\n"), ("c", "one\n")):
        (tmp_path / name).write_text(text)
    return lambda name: str(tmp_path / name)


@pytest.fixture
def record(tmp_path):
    rows = [("1", ["one"], Translation("un")), ("2 ", ["two"], Translation("deux\n"))]
    write_record(
        tmp_path / "x.jsonl", TranslationRecord("evaluation", 7, Decoding(), []), iter(rows)
    )
    return read_translations(str(tmp_path / "x.jsonl"))


def test_a_test_set_has_one_or_several_references_and_perhaps_sources(files):
    found = read_test_set(files("s"), [files("a"), files("b")])
    assert found.sources == ["1", "2"]
    assert found.references == [["one", "two"], ["eins", "zwei"]] and len(found) == 2
    assert read_test_set(None, [files("a")]).sources is None


def test_files_that_are_not_parallel_are_refused(files):
    with pytest.raises(DataError) as caught:
        read_test_set(files("s"), [files("a"), files("c")])
    assert caught.value.message == (
        f"{files('a')}:2: {files('a')} has 2 lines and {files('c')} has 1; line i of one must be the"
        " translation of line i of the other."
    )
    own = read_translations(files("c"))
    with pytest.raises(DataError, match=r"c has 1 lines and .*a has 2"):
        own.require_translations_of(read_test_set(None, [files("a")]), files("a"))


def test_a_record_of_a_run_holds_translations_and_their_sources(record, files):
    assert record.texts == ["un", "deux"] and record.sources == ["1", "2 "]
    record.require_translations_of(read_test_set(files("s"), [files("a")]), files("a"))
    record.require_translations_of(read_test_set(None, [files("a")]), files("a"))


def test_a_record_of_other_sources_is_refused(record, files):
    with pytest.raises(DataError) as caught:
        record.require_translations_of(read_test_set(files("a"), [files("a")]), files("a"))
    assert caught.value.message == (
        f"{record.path}: this record has another source than the test set in line 1: '1', not 'one'."
    )
    assert caught.value.hint == "Give the files that the record was made with."


def test_a_file_of_translations_is_a_line_each(files):
    found = read_translations(files("b"))
    assert (found.texts, found.sources) == (["eins", "zwei"], None)
