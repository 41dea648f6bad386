import gzip
import os
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_cases import property_test

from s2s_cli.config.schema import Config, Corpus, Data, Files, Validation
from s2s_cli.errors import DataError
from s2s_cli.text.corpus import read_pairs, read_rows, total_bytes, training_pairs, validation_pairs
from s2s_cli.text.holdout import held_out
from s2s_cli.text.lines import Reading, bare_lines, fingerprint, read_lines
from s2s_cli.text.rows import Pair, parse_weight


def test_tsv_and_parallel_files_compressed_or_not_give_the_same_pairs(tmp_path):
    (tmp_path / "a.tsv").write_text("one\teins\n two \tzwei\t0.5\n\n", encoding="utf-8")
    (tmp_path / "a.en").write_bytes(b"\xef\xbb\xbfone\r\n two \r\n")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei")
    tsv = Corpus(tsv=str(tmp_path / "a.tsv"))
    parallel = Corpus(source=str(tmp_path / "a.en"), target=str(tmp_path / "a.de.gz"))
    assert list(read_pairs(tsv)) == [Pair("one", "eins"), Pair("two", "zwei", 0.5)]
    assert list(read_pairs(parallel, 3)) == [
        Pair("one", "eins", 1.0, 3),
        Pair("two", "zwei", 1.0, 3),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nc\n", "a.tsv:2: this line has no tab"),
        (b"a\tb\nc\t\xff\n", "a.tsv:2: this line is not UTF-8 (byte 3"),
        (b"a\tb\tCC\n", "a.tsv:1: the third column is 'CC'; it must be a weight of 0 or more"),
        (b"a\tb\t-1\n", "must be a weight"),
        (b"\n \n\t\n", "a.tsv: there is not one sentence pair in it"),
    ],
)
def test_training_stops_at_the_first_problem_and_names_its_line(tmp_path, content, message):
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_pairs(Corpus(tsv=str(tmp_path / "a.tsv"))))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{i}\tA bird {i}.\t{i}7\tEin Vogel {i}.", "column 1 holds numbers; the sentences seem to be"
         " in columns 2 and 4."),
        ("1.0{i}\tA bird.\tEin Vogel.", "column 1 holds numbers; the sentences seem to be in columns"
         " 2 and 3."),
        ("A bird.\t{i}\tEin Vogel.", "column 2 holds numbers; the sentences seem to be in columns 1"
         " and 3."),
    ],
)  # fmt: skip
def test_numbers_where_sentences_belong_are_refused_with_where_these_are(tmp_path, line, message):
    path = tmp_path / "a b.tsv"
    path.write_text("".join(line.format(i=i) + "\n" for i in range(300)))
    with pytest.raises(DataError) as caught:
        list(read_pairs(Corpus(tsv=str(path), third_column="ignore")))
    assert caught.value.message == f"{path}: {message}"
    columns = "2, 4" if "and 4" in message else "2, 3" if "2 and 3" in message else "1, 3"
    assert caught.value.hint == f"Name them: `path: {path}` and `columns: [{columns}]`."


@pytest.mark.parametrize("line", ["{i}\tone two", "{i}\tone\t0.5", "{i}\t{i}\t1", "a\tb\t1\tc\t9"])
def test_numbers_may_be_sentences_and_weights(tmp_path, line):
    (tmp_path / "a").write_text("".join(line.format(i=i) + "\n" for i in range(300)))
    assert len(list(read_pairs(Corpus(tsv=str(tmp_path / "a"))))) == 300


def test_what_is_read_several_times_must_be_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe = str(tmp_path / "pipe")
    for read in (fingerprint, lambda path: list(read_pairs(Corpus(tsv=path)))):
        with pytest.raises(DataError) as caught:
            read(pipe)
        assert caught.value.message == (
            f"{pipe}: this must be a regular file: it is read several times."
        )
        assert caught.value.hint == (
            "Write what it gives to a file first, for example with `COMMAND > FILE`."
        )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.tsv: there is no such file"):
        list(read_pairs(Corpus(tsv=str(tmp_path / "none.tsv"))))


def test_rows_go_on_after_problems_and_each_row_has_its_own(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a\tb\nno tab\n\xff\tb\tx\n\nc\td\n")
    rows = list(read_rows(Files(tsv=str(tmp_path / "a.tsv"))))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert [row.pair and row.pair[:2] for row in rows] == [
        ("a", "b"),
        None,
        None,
        ("", ""),
        ("c", "d"),
    ]
    found = [
        (problem.kind, problem.place, problem.text) for row in rows for problem in row.problems
    ]
    place = str(tmp_path / "a.tsv")
    assert found == [
        ("missing_column", f"{place}:2", "no tab"),
        ("invalid_utf8", f"{place}:3", "\udcff\tb\tx"),
        ("bad_weight", f"{place}:3", "x"),
    ]


def test_problems_can_be_skipped(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"a\tb\nno tab\nc\td\n")
    corpus = Corpus(tsv=str(tmp_path / "a.tsv"))
    pairs = read_pairs(corpus, skip_problems=True)
    assert list(pairs) == [Pair("a", "b"), Pair("c", "d")]


def test_rows_hold_their_lines_as_they_are(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf x \r\n")
    (tmp_path / "b").write_bytes(b"y")
    (row,) = read_rows(Files(source=str(tmp_path / "a"), target=str(tmp_path / "b")))
    assert row.raw == (b"\xef\xbb\xbf x \r\n", b"y") and row.pair == Pair("x", "y")


def test_a_third_column_that_is_not_a_weight_can_be_ignored(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\tCC-BY\n")
    corpus = Corpus(tsv=str(tmp_path / "a.tsv"), third_column="ignore")
    assert list(read_pairs(corpus)) == [Pair("a", "b")]


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("1", 1.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("x", None),
    ],
)
def test_a_weight_is_a_finite_number_of_0_or_more(text, weight):
    assert parse_weight(text) == weight


@pytest.mark.parametrize("lines", [(3, 2), (1, 4), (2, 0)])
def test_files_of_unequal_length_are_refused_with_both_lengths(tmp_path, lines):
    for name, number in zip(("a.en", "a.de"), lines, strict=True):
        (tmp_path / name).write_text("x\n" * number)
    corpus = Corpus(source=str(tmp_path / "a.en"), target=str(tmp_path / "a.de"))
    with pytest.raises(DataError) as caught:
        list(read_pairs(corpus))
    message = caught.value.message
    assert f"a.en has {lines[0]} lines and" in message and f"a.de has {lines[1]};" in message


def test_a_truncated_gz_file_is_a_clear_error(tmp_path):
    whole = gzip.compress(b"x\n" * 9999)
    (tmp_path / "a.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read after line"):
        list(read_lines(str(tmp_path / "a.gz")))


def test_only_line_feeds_end_a_line(tmp_path):
    (tmp_path / "a").write_bytes("a\u2028b\x0bc\x85d\re\n".encode())
    assert list(read_lines(str(tmp_path / "a"))) == ["a\u2028b\x0bc\x85d\re"]
    assert list(bare_lines(str(tmp_path / "a"))) == ["a\u2028b\x0bc\x85d\re".encode()]


@pytest.mark.parametrize("is_packed", [False, True])
def test_progress_counts_the_bytes_of_all_files_that_were_read(tmp_path, is_packed):
    suffix = ".gz" if is_packed else ""
    for name in ("a", "b"):
        # Digits that gzip cannot shorten below the buffer it reads.
        digits = random.Random(name)
        content = b"".join(b"%032x\n" % digits.getrandbits(128) for _ in range(20_000))
        content = gzip.compress(content) if is_packed else content
        (tmp_path / f"{name}{suffix}").write_bytes(content)
    files = Files(source=str(tmp_path / f"a{suffix}"), target=str(tmp_path / f"b{suffix}"))
    read = Reading()
    seen = [read.done for _ in read_pairs(files, reading=read)]
    assert seen == sorted(seen) and len(set(seen)) > 2
    assert read.done == total_bytes([files]) == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_the_size_of_files_that_are_missing_is_not_known(tmp_path):
    assert total_bytes([Files(tsv=str(tmp_path / "none"))]) is None


def holding_out(path, seed: int = 1, **validation):
    """The data, and which sources are held out."""
    settings = {"train": {"tsv": str(path)}, "validation": validation}
    model = {"architecture": "lstm"}
    config = Config.model_validate({"data": settings, "model": model, "training": {"seed": seed}})
    return config.data, held_out(config)


def test_a_fraction_holds_out_all_pairs_of_a_source_and_every_pair_is_on_one_side(tmp_path):
    pairs = [f"source {i % 150}\ttarget {i}" for i in range(600)]
    (tmp_path / "a.tsv").write_text("\n".join(pairs))
    data, is_out = holding_out(tmp_path / "a.tsv", fraction=0.2)
    train, out = list(training_pairs(data, is_out)), list(validation_pairs(data, is_out, 1))
    assert len(train) + len(out) == 600
    assert not {pair.source for pair in train} & {pair.source for pair in out}
    assert 0.1 < len(out) / 600 < 0.3
    _, other = holding_out(tmp_path / "a.tsv", seed=2, fraction=0.2)
    assert out != list(validation_pairs(data, other, 2))


@pytest.mark.parametrize("number", [1, 7, 20, 599])
def test_a_number_of_pairs_holds_out_as_many_and_whole_sources(tmp_path, number):
    pairs = [f"source {i % 150}\ttarget {i}" for i in range(600)]
    (tmp_path / "a.tsv").write_text("\n".join(pairs))
    data, is_out = holding_out(tmp_path / "a.tsv", pairs=number)
    train, out = list(training_pairs(data, is_out)), list(validation_pairs(data, is_out, 1))
    assert number <= len(out) < number + 4 and len(train) + len(out) == 600
    assert not {pair.source for pair in train} & {pair.source for pair in out}


def test_sources_that_are_the_same_to_the_tokenizer_are_on_one_side(tmp_path):
    forms = ("Ein Haus {}", "ein  haus {}", "EIN HAUS {}", "ein haus\u3000{}", "\uff45in haus {}")
    (tmp_path / "a.tsv").write_text(
        "".join(f"{form.format(i)}\ttarget {i}\n" for i in range(100) for form in forms)
    )
    settings = {"train": {"tsv": str(tmp_path / "a.tsv")}, "validation": {"pairs": 50}}
    config = Config.model_validate(
        {"data": settings, "model": {"architecture": "lstm"}, "tokenizer": {"lowercase": True}}
    )
    out = [pair.target for pair in validation_pairs(config.data, held_out(config), 1)]
    assert len(out) == 50 and set(Counter(out).values()) == {len(forms)}


def test_max_pairs_takes_a_sample_from_the_whole_file(tmp_path):
    (tmp_path / "a.tsv").write_text("\n".join(f"s{i:03d}\tt" for i in range(500)))
    data = Data(
        train=[Corpus(tsv=str(tmp_path / "a.tsv"))],
        validation=Validation(tsv=str(tmp_path / "a.tsv"), max_pairs=50),
    )
    sources = [pair.source for pair in validation_pairs(data, None, 1)]
    assert len(sources) == 50 and sources == sorted(sources)
    assert sources[0] < "s100" and sources[-1] > "s400"


any_text = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


@property_test
@given(
    rows=st.lists(st.tuples(any_text, any_text), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    is_packed=st.booleans(),
    is_tsv=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_pairs_are_read_as_they_were_written(tmp_path_factory, rows, end, is_packed, is_tsv, mark):
    folder = tmp_path_factory.getbasetemp()
    rows = [tuple(side.replace("\t", " ").removeprefix("\ufeff") for side in row) for row in rows]

    def write(name: str, lines: list[str]) -> str:
        path = folder / (f"{name}.gz" if is_packed else name)
        content = (mark + "".join(line + end for line in lines)).encode()
        path.write_bytes(gzip.compress(content) if is_packed else content)
        return str(path)

    if is_tsv:
        files = Files(tsv=write("pairs", ["\t".join(row) for row in rows]))
    else:
        files = Files(
            source=write("source", [source for source, _ in rows]),
            target=write("target", [target for _, target in rows]),
        )
    expected = [(source.strip(), target.strip()) for source, target in rows]
    expected = [row for row in expected if any(row)]
    if not expected:
        with pytest.raises(DataError, match="not one sentence pair"):
            list(read_pairs(files))
        return
    assert [(pair.source, pair.target) for pair in read_pairs(files)] == expected
