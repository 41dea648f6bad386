"""What cleaning reads, keeps and rejects, and what it refuses to do."""

import gzip

import pytest
from cleaned import clean_corpora, clean_lines, read_kept, reasons
from conftest import write_config
from dirt import clean_pairs, plant

from s2s_cli.cleaning.clean import clean
from s2s_cli.cleaning.filters import make_filters
from s2s_cli.cleaning.reasons import REASONS
from s2s_cli.config.load import load_config
from s2s_cli.config.schema import Cleaning
from s2s_cli.errors import DataError

PAIRS = clean_pairs(30, 7)
LINES = [f"{source}\t{target}".encode() for source, target in PAIRS]


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_clean_pairs_are_written_as_they_are(tmp_path):
    report, kept, rejected = clean_lines(tmp_path, LINES)
    assert (tmp_path / "out" / "a.tsv").read_bytes() == b"".join(line + b"\n" for line in LINES)
    assert kept == [(*pair, 1.0) for pair in PAIRS] and rejected == []
    assert report.rejected == ()


def test_every_line_is_kept_or_rejected_in_order_and_the_counts_are_those_of_the_files(tmp_path):
    lines, dirty = plant(clean_pairs(200, 3), 2, 3)
    report, kept, rejected = clean_lines(tmp_path, lines)
    (corpus,) = report.corpora
    numbers = [number for number, *_ in rejected]
    assert numbers == sorted(dirty)
    assert corpus.read == len(lines) == len(kept) + len(rejected)
    assert corpus.kept == len(kept) and sum(corpus.rejected.values()) == len(rejected)
    assert {one.reason: one.count for one in report.rejected} == corpus.rejected
    order = [reason.name for reason in REASONS]
    assert [one.reason for one in report.rejected] == [n for n in order if n in corpus.rejected]
    assert all(len(one.examples) == min(3, one.count) for one in report.rejected)


def test_the_first_reason_in_the_order_of_the_settings_is_given(tmp_path):
    # A number is missing, the target is too long, and a control character is in it.
    text = f"{'Hund ' * 300}\x07"
    for off, reason in (
        ({}, "control"),
        ({"control": False}, "too_long"),
        ({"control": False, "max_characters": None}, "uneven"),
        ({"control": False, "max_characters": None, "max_length_ratio": None}, "numbers"),
    ):
        lines = [*LINES, f"in 1984\t{text}".encode()]
        assert reasons(clean_lines(tmp_path, lines, **off)[2]) == {31: reason}


SWITCHES = {
    "empty_side": {"empty": False},
    "replacement_character": {"encoding": False},
    "mojibake": {"encoding": False},
    "control": {"control": False},
    "too_long": {"max_characters": None},
    "identical": {"identical": False},
    "script": {"script": False},
    "uneven": {"max_length_ratio": None},
    "urls": {"urls": False},
    "numbers": {"numbers": False},
    "duplicate": {"duplicates": None},
    "near_duplicate": {"duplicates": "exact"},
}


@pytest.mark.parametrize("reason", SWITCHES)
def test_every_filter_can_be_switched_off_by_its_setting(tmp_path, reason):
    lines, _ = plant(PAIRS, 1, 5)
    found = reasons(clean_lines(tmp_path, lines)[2])
    switched = reasons(clean_lines(tmp_path, lines, **SWITCHES[reason])[2])
    setting = next(iter(SWITCHES[reason]))
    of_setting = {one.name for one in REASONS if one.setting == setting}
    assert reason in of_setting and reason in found.values()
    assert reason not in switched.values()
    others = {line: name for line, name in found.items() if name not in of_setting}
    assert {line: switched.get(line) for line in others} == others


def test_pairs_are_tested_in_the_order_of_the_reasons():
    tested = [found.reason for found in make_filters(Cleaning(), [], None)]
    assert tested == [reason for reason in REASONS if reason in tested] and len(tested) == 10


def test_all_reasons_but_those_of_lines_have_a_setting():
    settings = {reason.setting for reason in REASONS} - {None}
    assert settings == set(Cleaning.model_fields)


def test_bounds_are_those_of_the_settings(tmp_path):
    lines = [b"a b\tc d", b"a bb\tc d", b"a bbb\tc d"]
    found = clean_lines(tmp_path, lines, max_characters=4)[2]
    assert found == [(3, "too_long", "a bbb", "c d")]
    # The median ratio of lengths is 1, with 10 added to both.
    lines = [*LINES, b"aa " * 6 + b"\tb", b"aa " * 9 + b"\tb"]
    assert reasons(clean_lines(tmp_path, lines, max_length_ratio=3)[2]) == {32: "uneven"}


def test_the_usual_ratio_of_lengths_is_that_of_the_corpus(tmp_path):
    pairs = [
        (f"狗在{i}号房子里", f"the dog is in the house number {i} and it sleeps")
        for i in range(2, 30)
    ]
    lines = [f"{source}\t{target}".encode() for source, target in pairs]
    bad = f"{pairs[0][1]}\t{pairs[0][1][:9]}, number 2".encode()
    off = {"duplicates": None, "script": False}
    assert reasons(clean_lines(tmp_path, [*lines, bad], **off)[2]) == {29: "uneven"}
    assert (
        reasons(clean_lines(tmp_path, lines[:20], duplicates=None, max_length_ratio=1.2)[2]) == {}
    )


def test_the_first_pair_that_passes_the_other_filters_is_the_one_that_stays(tmp_path):
    lines = [b"one \x07 dog\tein Hund", b"one dog\tein Hund", b"One dog.\tein Hund"]
    found = reasons(clean_lines(tmp_path, lines)[2])
    assert found == {1: "control", 3: "near_duplicate"}


def test_repeats_are_found_across_chunks_and_corpora(tmp_path):
    pairs = clean_pairs(12_000, 1)
    for name, some in (("a", pairs), ("b", [pairs[0], ("new", "neu"), pairs[-1]])):
        lines = (f"{source}\t{target}\n" for source, target in some)
        (tmp_path / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    corpora = ({"tsv": str(tmp_path / f"{name}.tsv")} for name in "ab")
    report, kept, rejected = clean_corpora(tmp_path, *corpora)
    assert reasons(rejected) == {1: "duplicate", 3: "duplicate"}
    assert [corpus.kept for corpus in report.corpora] == [12_000, 1]
    assert [pair[:2] for pair in kept] == [*pairs, ("new", "neu")]


def test_parallel_and_packed_files_are_read_and_tabs_in_them_become_spaces(tmp_path):
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"one\tdog\ntwo\t\tcats\nbad\xff\n\t\n"))
    (tmp_path / "a.de").write_bytes(b"ein Hund\nzwei\tKatzen\nb\\\tb\nx\n")
    corpus = {"source": str(tmp_path / "a.en.gz"), "target": str(tmp_path / "a.de")}
    report, kept, rejected = clean_corpora(tmp_path, corpus)
    assert kept == [("one dog", "ein Hund", 1.0), ("two  cats", "zwei Katzen", 1.0)]
    assert report.corpora[0].tabs == 4
    assert rejected == [
        (3, "invalid_utf8", r"bad\xff", r"b\\\tb"),
        (4, "empty_side", "", "x"),
    ]
    assert report.corpora[0].kept_file == str(tmp_path / "out" / "a.tsv")
    assert report.rejected[0].examples[0].place == f"{tmp_path / 'a.en.gz'}:3"


def test_a_rejected_line_can_be_restored_from_what_is_written_of_it(tmp_path):
    lines = [
        b"a dog\tein Hund\t2.5",
        b"\tx\t0.25",
        b"no tab \\ here",
        b"a\xff\tb\xc3\t7\t8",
        "nul\0 \u200bzero \U0001fffe\t\u2028ü\u200d\x9d".encode(),
        b"a\tb\tnot a weight\tmore",
    ]
    _, kept, rejected = clean_lines(tmp_path, lines)
    assert kept == [("a dog", "ein Hund", 2.5)]
    assert rejected == [
        (2, "empty_side", "", "x", "0.25"),
        (3, "missing_column", r"no tab \\ here", ""),
        (4, "invalid_utf8", r"a\xff", r"b\xc3", "7", "8"),
        (5, "control", r"nul\u0000 \u200bzero \U0001fffe", "ü\u200d\\u009d"),
        (6, "bad_weight", "a", "b", "not a weight", "more"),
    ]


@pytest.mark.parametrize(
    ("weights", "columns"),
    [
        (["", "\t0.5", "\t1e-7", "\t0"], {3}),  # the sample has weights, so each line gets one
        (["\t1", "\t1.0", ""], {2}),
        (["", *[""] * 10_000, "\t3"], {2, 3}),  # what comes late is not lost
    ],
)
def test_weights_are_those_that_were_read(tmp_path, weights, columns):
    lines = [f"a {i}\tb {i}{weight}".encode() for i, weight in enumerate(weights)]
    _, kept, rejected = clean_lines(tmp_path, lines, duplicates=None)
    assert rejected == []
    assert [weight for *_, weight in kept] == [float(weight or 1) for weight in weights]
    written = (tmp_path / "out" / "a.tsv").read_text().splitlines()
    assert {len(line.split("\t")) for line in written} == columns


def test_a_third_column_that_is_ignored_is_not_written(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a b\tc d\tCC-BY\ne\tf\t2\n")
    corpus = {"tsv": str(tmp_path / "a.tsv"), "third_column": "ignore"}
    assert clean_corpora(tmp_path, corpus)[1] == [("a b", "c d", 1.0), ("e", "f", 1.0)]


def test_text_that_readers_change_is_written_so_that_it_is_read_back(tmp_path):
    off = {"control": False, "duplicates": None, "empty": False}
    lines = ["\ufeff\ufeffa\tb", "\ufeffa\tb\r", "a\rb\tc\x85d", "\tb", "", "a\t"]
    lines = [line.encode() for line in lines]
    _, kept, rejected = clean_lines(tmp_path, lines, **off)
    assert rejected == []
    assert [pair[:2] for pair in kept] == [
        ("\ufeffa", "b"), ("\ufeffa", "b"), ("a\rb", "c\x85d"), ("", "b"), ("", ""), ("a", ""),
    ]  # fmt: skip


def test_the_same_input_gives_the_same_bytes(tmp_path):
    lines, _ = plant(clean_pairs(300, 2), 3, 2)
    clean_lines(tmp_path, lines)
    first = files_in(tmp_path / "out")
    clean_lines(tmp_path, lines)
    assert files_in(tmp_path / "out") == first and len(first) == 2


def test_names_follow_from_the_files_and_no_two_are_the_same(tmp_path):
    names = [
        ("train.en.gz", "train.de.gz"), ("x/train.en", "x/train.fr"), ("corpus.en-de.tsv",), ("TRAIN.txt",),
        ("en.txt", "de.txt"), ("train.rejected.tsv",), (".tsv",),
    ]  # fmt: skip
    (tmp_path / "x").mkdir()
    corpora = []
    for number, paths in enumerate(names):
        for path in paths:
            text = f"text {number}" if len(paths) > 1 else f"text {number}\tother"
            (tmp_path / path).write_text(f"{text} {path}\n")
        keys = ("source", "target") if len(paths) > 1 else ("tsv",)
        corpora.append({k: str(tmp_path / p) for k, p in zip(keys, paths, strict=True)})
    report, _, _ = clean_corpora(tmp_path, *corpora)
    found = [corpus.kept_file.removeprefix(f"{tmp_path}/out/") for corpus in report.corpora]
    assert found == [
        "train.tsv", "train-2.tsv", "corpus.en-de.tsv", "TRAIN-3.tsv", "en.tsv", "train.rejected-2.tsv",
        "corpus.tsv",
    ]  # fmt: skip
    assert len(files_in(tmp_path / "out")) == 2 * len(names)


def cleaning_of(folder, corpus, **data):
    settings = {"data": {"train": corpus, **data}}
    return load_config(write_config(folder / "c.yaml", settings))


def test_files_that_exist_are_replaced_only_by_force(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a b\tc d\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tsv").write_text("mine")
    (tmp_path / "out" / "other").write_text("mine too")
    config = cleaning_of(tmp_path, {"tsv": "a.tsv"})
    with pytest.raises(DataError) as caught:
        clean(config, tmp_path / "out")
    assert caught.value.message == f"{tmp_path / 'out' / 'a.tsv'}: this file exists."
    assert caught.value.hint == (
        "Name another folder with --output, or give --force to replace the files."
    )
    assert files_in(tmp_path / "out") == {"a.tsv": b"mine", "other": b"mine too"}
    clean(config, tmp_path / "out", force=True)
    assert read_kept(tmp_path / "out" / "a.tsv") == [("a b", "c d", 1.0)]


@pytest.mark.parametrize("validation", ["out/a.tsv", "out/a.rejected.tsv", "out/link.tsv"])
def test_a_file_that_the_config_reads_is_never_replaced(tmp_path, validation):
    (tmp_path / "out").mkdir()
    for name in ("a.tsv", "out/a.tsv", "out/a.rejected.tsv"):
        (tmp_path / name).write_bytes(b"a b\tc d\n")
    (tmp_path / "out" / "link.tsv").symlink_to(tmp_path / "out" / "a.tsv")
    before = files_in(tmp_path / "out")
    for corpus, held_out in (("a.tsv", {"validation": {"tsv": validation}}), ("out/a.tsv", {})):
        config = cleaning_of(tmp_path, {"tsv": corpus}, **held_out)
        with pytest.raises(
            DataError, match=r"tsv: this file is read by the config; cleaning would"
        ):
            clean(config, tmp_path / "out", force=True)
    assert files_in(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "there is not one sentence pair in it.", "Check that the file"),
        (b"\n\n", "there is not one sentence pair in it.", "Check that the file"),
        (b"a\tb\tCC\nc\td\tCC\n", ":1: the third column is 'CC'", "set `third_column: ignore`"),
        (b"a\nb\n", ":1: this line has no tab", "`source:` and `target:`"),
        (b"1\ta\tb\n2\tc\td\n", "column 1 holds numbers", "columns: [2, 3]"),
        (b"PK\x03\x04", "it is a zip archive, not text.", "unzip"),
        (None, "there is no such file.", "Check the path"),
    ],
)
def test_a_corpus_that_is_wrong_as_a_whole_ends_cleaning_as_it_ends_training(
    tmp_path, content, message, hint
):
    if content is not None:
        (tmp_path / "a.tsv").write_bytes(content)
    config = cleaning_of(tmp_path, {"tsv": "a.tsv"})
    with pytest.raises(DataError) as caught:
        clean(config, tmp_path / "out")
    assert (
        caught.value.message.startswith(str(tmp_path / "a.tsv")) and message in caught.value.message
    )
    assert hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_error_in_the_last_corpus_leaves_no_file_of_the_first(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a b\tc d\n")
    (tmp_path / "b").write_bytes(b"a\nb\n")
    (tmp_path / "c").write_bytes(b"a\n")
    config = cleaning_of(tmp_path, [{"tsv": "a.tsv"}, {"source": "b", "target": "c"}])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(DataError, match="has 2 lines and"):
        clean(config, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_progress_reaches_the_size_of_the_files(tmp_path):
    lines = [f"{source}\t{target}\n" for source, target in clean_pairs(12_000, 4)]
    (tmp_path / "a.tsv").write_text("".join(lines), encoding="utf-8")
    done = []
    clean(cleaning_of(tmp_path, {"tsv": "a.tsv"}), tmp_path / "out", progress=done.append)
    assert done == sorted(done) and len(done) > 2
    assert done[-1] == (tmp_path / "a.tsv").stat().st_size


def test_validation_files_are_not_written(tmp_path):
    for name in ("a.tsv", "v.tsv"):
        (tmp_path / name).write_bytes(b"a b\tc d\n")
    clean(cleaning_of(tmp_path, {"tsv": "a.tsv"}, validation={"tsv": "v.tsv"}), tmp_path / "out")
    assert set(files_in(tmp_path / "out")) == {"a.tsv", "a.rejected.tsv"}


def test_one_file_is_read_as_in_training_and_its_rejects_are_named_by_row(tmp_path):
    path = tmp_path / "a.csv"
    rows = ['"one, dog",ein Hund', '"two\ndogs",zwei Hunde', "three", "four,", "five,f\x07"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    report, kept, rejected = clean_corpora(tmp_path, {"path": str(path)})
    assert kept == [("one, dog", "ein Hund", 1.0), ("two dogs", "zwei Hunde", 1.0)]
    assert rejected == [
        (4, "missing_column", "three", ""),
        (5, "empty_side", "four", ""),
        (6, "control", "five", "f\\u0007"),
    ]
    assert report.corpora[0].line_ends == 1
    assert list(report.read_as) == [str(path)]
