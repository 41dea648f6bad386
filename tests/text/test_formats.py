"""Corpora in one file: recognised by content, read alike, refused with a place and a remedy."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from text.format_cases import (
    PAIRS,
    TMX,
    in_every_format,
    tmx_unit,
    write_parallel,
    write_table,
)
from text.text_cases import character_tokenizer, make_store, property_test

from s2s_cli.config.schema import Files
from s2s_cli.text.corpus import read_pairs, read_rows
from s2s_cli.text.lines import Reading
from s2s_cli.text.rows import CorpusError

PACKINGS = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.compress,
}


def texts(files, reading=None):
    return [pair[:2] for pair in read_pairs(files, 0, reading)]


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(**settings):
    with pytest.raises(CorpusError) as caught:
        list(read_pairs(Files(**settings)))
    return f"{caught.value.message}\n{caught.value.hint}".rstrip()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", in_every_format(PAIRS))
def test_every_format_gives_the_pairs_of_parallel_files_packed_or_not(tmp_path, name, packing):
    expected = texts(Files(**write_parallel(PAIRS, tmp_path)))
    assert expected == PAIRS
    packed = PACKINGS[packing](in_every_format(PAIRS)[name])
    # The suffix of the packing may be missing: the content decides.
    for suffix in ("", "" if packing == "plain" else f".{packing}"):
        assert texts(Files(path=written(tmp_path, name + suffix, packed))) == expected


def test_every_format_gives_the_same_token_store(tmp_path):
    tokenizer = character_tokenizer(tmp_path)
    stores = [list(read_pairs(Files(**write_parallel(PAIRS, tmp_path))))]
    for name, content in in_every_format(PAIRS).items():
        stores.append(list(read_pairs(Files(path=written(tmp_path, name, content)))))
    arrays = []
    for number, pairs in enumerate(stores):
        folder = tmp_path / f"store{number}"
        make_store(folder, pairs, tokenizer)
        files = sorted(folder.rglob("*.bin"))
        arrays.append({path.name: path.read_bytes() for path in files})
    assert arrays[0] and all(array == arrays[0] for array in arrays)


# Tables.


def test_columns_by_number_or_name_and_weights(tmp_path):
    table = "id,de,en,score\n7,Hund,dog,0.5\n8,Katze,cat,2\n"
    path = written(tmp_path, "a.csv", table)
    expected = [("dog", "Hund", 0.5), ("cat", "Katze", 2.0)]
    for columns, weight in ((["en", "de"], "score"), (["en", 2], 4), ([3, "de"], 4)):
        files = Files(path=path, columns=columns, weight=weight)
        assert [pair[:3] for pair in read_pairs(files)] == expected
    files = Files(path=path, columns=[3, 2], weight=4, header=True)
    assert [pair[:3] for pair in read_pairs(files)] == expected


def test_a_header_with_source_and_target_names_the_columns(tmp_path):
    path = written(tmp_path, "a.tsv", "Target\tid\tSource\nHund\t1\tdog\n")
    assert texts(Files(path=path)) == [("dog", "Hund")]
    path = written(tmp_path, "b.tsv", "source\ttarget\ndog\tHund\n")
    assert texts(Files(path=path)) == [("dog", "Hund")]
    assert texts(Files(path=path, header=False, columns=[1, 2]))[0] == ("source", "target")


@pytest.mark.parametrize(
    ("name", "table", "expected"),
    [
        ("a.csv", 'one;"eins; zwei"\ntwo;drei\n', [("one", "eins; zwei"), ("two", "drei")]),
        ("a.csv", "a\tb, c\nd\te, f\n", [("a", "b, c"), ("d", "e, f")]),
        # Quotes in a TSV are text, unless all of its first rows show a spreadsheet's.
        ("a.tsv", '"Hello!"\t"Hallo!"\nyes\tja\n', [('"Hello!"', '"Hallo!"'), ("yes", "ja")]),
        ("a.tsv", '"Hi"\t"a"\n"He"\t"b"\n', [("Hi", "a"), ("He", "b")]),
        ("a.tsv", '"a ""b"" c"\tx\n"d" e\ty\n', [('"a ""b"" c"', "x"), ('"d" e', "y")]),
        ("a.tsv", '"a ""b"" c"\tx\nd\ty\n', [('a "b" c', "x"), ("d", "y")]),
    ],
)
def test_delimiters_and_quotes_are_recognised(tmp_path, name, table, expected):
    assert texts(Files(path=written(tmp_path, name, table))) == expected


def test_delimiters_and_quotes_can_be_set(tmp_path):
    path = written(tmp_path, "a.csv", '\'one|eins\ntwo|"zwei"\n')
    assert texts(Files(path=path, delimiter="|")) == [("'one", "eins"), ("two", "zwei")]
    assert texts(Files(path=path, delimiter="|", quotes=False))[1] == ("two", '"zwei"')


def test_line_ends_in_cells_become_spaces_and_are_counted(tmp_path):
    table = write_table([("a\nb", "x\r\ny"), ("c", "z")], ",")
    reading = Reading()
    assert texts(Files(path=written(tmp_path, "a.csv", table)), reading) == [
        ("a b", "x y"),
        ("c", "z"),
    ]
    assert reading.line_ends == 2


def test_a_row_of_a_table_is_named_by_the_line_where_it_begins(tmp_path):
    path = written(tmp_path, "a.csv", 'a,b\n"two\nlines",c\nd\n"e" f,g\n\nh,i\n')
    problems = [p for row in read_rows(Files(path=path)) for p in row.problems]
    assert [(p.place, p.message) for p in problems] == [
        (f"{path}:4", "this row has 1 of 2 columns."),
        (f"{path}:5", "this row cannot be read: ',' expected after '\"'."),
    ]


def test_a_table_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "a.csv", b"a,b\ncaf\xe9,c\n")
    assert refusal(path=path) == (
        f"{path}:2: this text is not UTF-8.\n"
        "Convert the file, for example with `iconv -f latin1 -t utf-8`."
    )


def test_columns_of_numbers_are_refused_with_the_setting_that_names_others(tmp_path):
    path = written(tmp_path, "a.tsv", "\ufeff1\tdog\t3\tHund\n2\tcat\t4\tKatze\n")
    message = (
        f"{path}: column 1 holds numbers; the sentences seem to be in columns 2 and 4.\n"
        f"Name them: `path: {path}` and `columns: [2, 4]`."
    )
    assert refusal(path=path) == refusal(tsv=path) == message
    assert texts(Files(path=path, columns=[2, 4])) == [("dog", "Hund"), ("cat", "Katze")]


def test_a_word_above_a_column_of_numbers_shows_a_header(tmp_path):
    path = written(tmp_path, "a.csv", "id,en,de\n1,dog,Hund\n2,cat,Katze\n")
    expected = [("dog", "Hund"), ("cat", "Katze")]
    assert texts(Files(path=path, columns=[2, 3])) == expected
    assert texts(Files(path=path, columns=[2, 3], header=False)) == [("en", "de"), *expected]
    assert refusal(path=path).endswith(f"Name them: `path: {path}` and `columns: [en, de]`.")


def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path):
    path = written(tmp_path, "a.xlsx", b"PK\x03\x04rest")
    assert refusal(path=path) == f"{path}: it is a spreadsheet, not text.\nSave it as CSV."


def test_a_column_that_is_not_there(tmp_path):
    path = written(tmp_path, "a.csv", "id,de,en\n1,Hund,dog\n")
    assert refusal(path=path, columns=["en", "fr"]) == (
        f"{path}: there is no column 'fr'; its columns are id, de, en.\n"
        "Name two of them with `columns: [SOURCE, TARGET]`, or by number from 1."
    )


# JSON Lines.


def test_fields_may_lie_in_fields_and_null_is_an_empty_side(tmp_path):
    lines = (
        '{"translation": {"en": "dog", "de": "Hund"}, "w": 2}\n'
        '{"translation": {"en": "a\\nb", "de": null}, "w": "0.5"}\n'
    )
    path = written(tmp_path, "a.json", lines)
    files = Files(path=path, fields=["translation.en", "translation.de"], weight="w")
    assert [p[:3] for p in read_pairs(files)] == [("dog", "Hund", 2.0), ("a b", "", 0.5)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a"}', "there is no field 'target'; the fields are source."),
        ('{"source": "a", "target": 5}', "'5' stands where a sentence must be."),
        ('{"source": "a", "target": "\\ud800"}', "this text is not UTF-8."),
        ('["a", "b"]', "this line holds no JSON object."),
        ('{"source": ', "this line is not JSON: Expecting value: line 1 column 12 (char 11)."),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path, line, message):
    path = written(tmp_path, "a.jsonl", '{"source": "a", "target": "b"}\n' + line)
    assert refusal(path=path).partition("\n")[0] == f"{path}:2: {message}"


def test_a_json_array_is_refused_with_the_command_that_makes_lines(tmp_path):
    path = written(tmp_path, "a.json", '[{"source": "a", "target": "b"}]')
    assert refusal(path=path) == (
        f"{path}: it is a JSON array, and lines with an object each are read.\n"
        f"Convert it with `jq -c '.[]' {path} > NEW.jsonl`."
    )


# TMX.


def tmx(folder, *units, name="a.tmx", doctype=None):
    content = TMX.format(units="".join(units))
    if doctype is not None:
        content = content.replace(
            '<!DOCTYPE tmx SYSTEM "http://nowhere.invalid/tmx14.dtd">', doctype
        )
    return written(folder, name, content)


def test_languages_are_chosen_by_code_and_a_region_is_of_its_language(tmp_path):
    unit = "".join(
        f'<tuv xml:lang="{language}"><seg>{language}</seg></tuv>'
        for language in ("de-AT", "EN_us", "en-gb", "fr")
    )
    path = tmx(tmp_path, f"<tu>{unit}</tu>")
    for languages, expected in (
        (["en", "de"], ("EN_us", "de-AT")),
        (["en-GB", "FR"], ("en-gb", "fr")),
        (None, ("EN_us", "de-AT")),  # English is what the header names
    ):
        assert texts(Files(path=path, languages=languages)) == [expected]


def test_a_unit_without_a_language_has_an_empty_side(tmp_path):
    path = tmx(tmp_path, tmx_unit("dog", "chien"), '<tu><tuv xml:lang="en"><seg>x</seg></tuv></tu>')
    assert texts(Files(path=path)) == [("dog", "chien"), ("x", "")]


def test_languages_that_no_unit_has_are_refused_with_those_it_has(tmp_path):
    path = tmx(tmp_path, tmx_unit("dog", "chien"))
    assert refusal(path=path, languages=["en", "de"]) == (
        f"{path}: no unit has both en and de; the languages of its units are en-GB, fr.\n"
        "Name two of them with `languages: [SOURCE, TARGET]`."
    )


def test_inline_codes_are_dropped_or_kept_and_text_in_them_stays(tmp_path):
    source = 'A <bpt i="1">&lt;b&gt;</bpt><hi>big</hi><ept i="1">&lt;/b&gt;</ept> dog<ph x="1"/>.'
    path = tmx(tmp_path, tmx_unit(source, "un\nchien"))
    assert texts(Files(path=path)) == [("A big dog.", "un chien")]
    kept = Files(path=path, inline_tags="keep")
    assert texts(kept) == [("A <b>big</b> dog.", "un chien")]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE tmx [<!ENTITY a "b">]>',
        '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE tmx [<!ENTITY % a SYSTEM "http://nowhere.invalid/"> ]>',
        '<!DOCTYPE tmx [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
    ],
    ids=["entity", "file", "parameter", "nested"],
)
def test_entities_that_a_file_declares_are_refused(tmp_path, doctype):
    path = tmx(tmp_path, tmx_unit("&a;", "b"), doctype=doctype)
    assert refusal(path=path) == (
        f"{path}: it declares entities, which are not read.\n"
        "Replace them by their text, and remove the declarations from the DOCTYPE."
    )


def test_an_unknown_entity_is_a_problem_of_its_unit(tmp_path):
    path = tmx(tmp_path, tmx_unit("dog", "chien"), tmx_unit("a &nbsp; b", "c"))
    assert refusal(path=path) == (
        f"{path}:unit 2: the entity &nbsp; is not one of XML's own, and none other is read."
    )


def test_xml_that_ends_too_early_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "a.tmx", TMX.format(units=tmx_unit("a", "b"))[:-20])
    message = refusal(path=path)
    assert message.startswith(f"{path}:") and "this is not well-formed XML" in message


# Parquet.


def test_columns_of_parquet_may_be_fields_of_a_column(tmp_path):
    path = str(tmp_path / "a.parquet")
    rows = [{"en": "dog", "de": "Hund"}, {"en": "cat", "de": None}, None]
    pq.write_table(pa.table({"id": [1, 2, 3], "translation": rows, "w": [1.0, 0.5, 2]}), path)
    files = Files(path=path, columns=["translation.en", "translation.de"], weight="w")
    assert [p[:3] for p in read_pairs(files)] == [("dog", "Hund", 1.0), ("cat", "", 0.5)]
    assert refusal(path=path, columns=["translation.en", "translation.fr"]) == (
        f"{path}: there is no column 'translation.fr'; its columns are id, translation, w.\n"
        "Name two of them with `columns: [SOURCE, TARGET]`, or by number from 1."
    )
    assert refusal(path=path) == f"{path}:row 1: '1' stands where a sentence must be."


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = written(tmp_path, "a.parquet", in_every_format(PAIRS)["table.parquet"][:-30])
    assert refusal(path=path).startswith(f"{path}: cannot be read after row 0: ")


# Recognition.


def test_a_format_without_a_suffix_is_recognised_and_what_was_chosen_is_told(tmp_path):
    told = {}
    for name, content in in_every_format(PAIRS).items():
        if name.endswith(".csv"):
            continue  # nothing in it says that it is one
        reading = Reading()
        path = written(tmp_path, name.partition(".")[0], content)
        assert texts(Files(path=path), reading) == PAIRS
        told[name] = reading.read_as[path]
    assert told == {
        "plain.tsv": "TSV: columns 1 and 2, no header, tab between columns, quotes as text",
        "quoted.tsv": "TSV: columns 1 and 2, no header, tab between columns, quotes around cells",
        "lines.jsonl": "JSON Lines: fields source and target",
        "memory.tmx": "TMX: from en to fr",
        "utf16.tmx": "TMX: from en to fr",
        "table.parquet": "Parquet: columns source and target",
    }


def test_a_format_that_is_not_recognised_asks_for_the_setting(tmp_path):
    path = written(tmp_path, "corpus", "a,b\nc,d\n")
    assert refusal(path=path) == (
        f"{path}: its format is not recognised.\n"
        "Set `format:` to tsv, csv, jsonl, tmx or parquet beside `path:`."
    )
    assert texts(Files(path=path, format="csv")) == [("a", "b"), ("c", "d")]


def test_a_setting_of_another_format_is_refused(tmp_path):
    path = written(tmp_path, "a.jsonl", '{"source": "a", "target": "b"}\n')
    assert refusal(path=path, columns=[1, 2]) == (
        f"{path}: it is read as jsonl, which has no setting `columns`.\n"
        "Its settings are `fields`, `weight`."
    )


# Damage.

EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4
)


@pytest.mark.parametrize("name", in_every_format(PAIRS))
@property_test
@given(packing=st.sampled_from(["plain", *PACKINGS]), edits=EDITS)
def test_a_damaged_file_gives_pairs_or_problems_with_a_place(
    tmp_path_factory, name, packing, edits
):
    content = PACKINGS[packing](in_every_format(PAIRS)[name])
    for position, removed, added in edits:
        at = round(position * len(content))
        content = content[:at] + added + content[at + removed :]
    path = written(tmp_path_factory.mktemp("damaged"), name, content)
    for row in read_rows(Files(path=path)):
        assert row.pair is not None or row.problems
        assert all(problem.place.startswith(path) and problem.message for problem in row.problems)
        if row.pair is not None:
            row.pair.source.encode(), row.pair.target.encode()
            assert not set("\r\n") & {*row.pair.source, *row.pair.target}
