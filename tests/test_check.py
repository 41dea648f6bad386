"""What `s2s check` finds in dirty corpora, and that training leaves out what it says."""

import gzip
import json
import random

import pytest
from conftest import DIGITS, s2s, tiny_settings, write_config

from s2s_cli.commands.check import check
from s2s_cli.config import load_config
from s2s_cli.console import TrainingView
from s2s_cli.events import DataReady
from s2s_cli.schema import Files
from s2s_cli.text.alignment import Alignment
from s2s_cli.text.corpus import Pair, training_pairs
from s2s_cli.text.filters import Limits
from s2s_cli.text.repeats import Seen
from s2s_cli.text.store import Counts, build_store, open_store
from s2s_cli.text.tokenizer import learn


@pytest.fixture
def dirty(tmp_path, corpus):
    """A folder for a corpus: `write` its lines, then `find` in it by kind."""
    return Dirty(tmp_path, corpus)


class Dirty:
    """Pairs of digits and words, numbered from 1, in which lines are replaced."""

    def __init__(self, folder, corpus):
        self.folder, self.settings = folder, tiny_settings(corpus)
        chooser = random.Random(5)
        numbers = chooser.sample(range(1000, 10000), 40)
        self.sources = [" ".join(str(number)).encode() for number in numbers]
        self.targets = [" ".join(DIGITS[int(i)] for i in str(n)).encode() for n in numbers]

    def write(self, **data):
        """The config of the files `a` and `b`, with these settings of `data`."""
        (self.folder / "a").write_bytes(b"".join(line + b"\n" for line in self.sources))
        (self.folder / "b").write_bytes(b"".join(line + b"\n" for line in self.targets))
        train = {"source": str(self.folder / "a"), "target": str(self.folder / "b")}
        self.settings["data"] = {**self.settings["data"], "train": train, **data}
        return write_config(self.folder / "c.yaml", self.settings)

    def write_tsv(self, *lines, **data):
        """The config of the pairs and of these lines, as a TSV of one corpus."""
        pairs = [a + b"\t" + b for a, b in zip(self.sources, self.targets, strict=True)]
        (self.folder / "t").write_bytes(b"".join(line + b"\n" for line in [*pairs, *lines]))
        return self.write(train={"tsv": str(self.folder / "t"), **data})

    def report(self, config, test=None):
        """What check reports, and the places and texts by kind: {kind: (count, examples)}."""
        report = check(load_config(config), test, threads=1)
        prefix = f"{self.folder}/"
        found = {
            finding.kind: (
                finding.count,
                [(e.place.removeprefix(prefix), e.text) for e in finding.examples],
            )
            for finding in report.findings
        }
        return report, found


def test_a_clean_corpus_passes_with_nothing_to_say(dirty):
    report, found = dirty.report(dirty.write())
    assert report.passes and found == {}
    assert [(s.name, s.pairs, s.used) for s in report.splits] == [
        ("training", 40, 40),
        ("validation", 24, 24),
    ]


@pytest.mark.parametrize(
    ("side", "line", "kind", "place", "text"),
    [
        ("b", b"one \xff two", "invalid_utf8", "b:9", r"one \xff two"),
        ("a", "4\u200b 5".encode(), "control", "a:9", r"4\u200b 5"),
        ("b", b"one\0", "control", "b:9", r"one\x00"),
        ("b", "o\u00adne".encode(), "control", "b:9", r"o\xadne"),
        ("b", "\ufeffone".encode(), "control", "b:9", r"\ufeffone"),
        ("b", "one \u202etwo".encode(), "control", "b:9", r"one \u202etwo"),
        ("a", b"1\t2", "tab_inside", "a:9", r"1\t2"),
        ("b", b"one\r", "carriage_return", "b:9", "one"),
        ("b", b"one </s>", "special_token", "b:9", "one </s>"),
        ("b", "one \u2581two".encode(), "special_token", "b:9", "one \u2581two"),
    ],
)
def test_a_line_is_named_with_what_is_wrong_in_it(dirty, side, line, kind, place, text):
    (dirty.sources if side == "a" else dirty.targets)[8] = line
    report, found = dirty.report(dirty.write())
    assert found.pop(kind) == (1, [(place, text)])
    assert found == {}
    assert report.passes == (kind != "invalid_utf8")


def test_joiners_of_scripts_that_need_them_and_outer_tabs_are_no_finding(dirty):
    dirty.targets[8] = "one\u200dtwo\u200cthree\t".encode()
    assert dirty.report(dirty.write())[1] == {}


def test_the_word_level_has_one_more_mark_that_text_should_not_hold(dirty):
    dirty.targets[8] = "one\u2040two".encode()
    assert dirty.report(dirty.write())[1] == {}
    dirty.settings["tokenizer"]["type"] = "word"
    assert dirty.report(dirty.write())[1]["special_token"][0] == 1


def test_a_byte_order_mark_is_taken_off_the_first_line(dirty):
    dirty.sources[0] = b"\xef\xbb\xbf7 7 7"
    assert dirty.report(dirty.write())[1] == {"bom_at_start": (1, [("a:1", "7 7 7")])}


def test_pairs_are_judged_as_training_judges_them(dirty, tmp_path):
    dirty.sources[0], dirty.targets[1] = b"", b" "
    dirty.sources[2] = dirty.targets[2] = b""
    dirty.targets[3] = b"one " * 20
    dirty.sources[4] = dirty.targets[4] = b"4 5"
    dirty.sources[5], dirty.targets[5] = b"1", b"one two three"
    config = dirty.write(max_length=60, max_length_ratio=6.5, drop_identical=True)
    report, found = dirty.report(config)
    kinds = {kind: (count, [place for place, _ in e]) for kind, (count, e) in found.items()}
    assert kinds == {
        "empty_line": (1, ["a:3"]),
        "empty_side": (2, ["a:1", "b:2"]),
        "too_long": (1, ["b:4"]),
        "uneven": (1, ["a:6"]),
        "identical": (1, ["a:5"]),
    }
    assert {finding.outcome for finding in report.findings} == {"left out"}

    data, sides = load_config(config).data, []
    for side in ("source", "target"):
        text = [getattr(p, side) for p in training_pairs(data, 1) if getattr(p, side)]
        tokenizer = load_config(config).tokenizer
        sides.append(learn(text, tokenizer, tmp_path / side, seed=1, threads=1))
    pairs = training_pairs(data, 1)
    build_store(tmp_path / "s", "key", pairs, *sides, limits=Limits.of(data), threads=1)
    opened = open_store(tmp_path / "s", "key")
    assert opened.counts == Counts(34, empty_side=2, too_long=1, uneven=1, identical=1)
    assert report.splits[0].used == 34


def test_without_the_settings_identical_and_uneven_pairs_are_kept(dirty):
    dirty.sources[4] = dirty.targets[4] = b"4 5"
    dirty.sources[5], dirty.targets[5] = b"1", b"one two three"
    report, found = dirty.report(dirty.write())
    assert (found["identical"][0], found["uneven"][0]) == (1, 1)
    assert {finding.outcome for finding in report.findings} == {"kept"}
    assert report.splits[0].used == 40


def test_repeats_within_training_and_in_the_held_out_sets_are_counted(dirty):
    dirty.sources[8], dirty.targets[8] = dirty.sources[2], dirty.targets[2]
    for name, lines in (("va", dirty.sources[:2]), ("vb", [dirty.targets[0], b"nine"])):
        (dirty.folder / name).write_bytes(b"\n".join(lines))
    held_out = {"source": str(dirty.folder / "va"), "target": str(dirty.folder / "vb")}
    report, _ = dirty.report(dirty.write(validation=held_out), Files(**held_out))
    found = [(f.split, f.kind, f.count) for f in report.findings]
    assert found == [
        ("training", "duplicate", 1),
        ("validation", "source_overlap", 2),
        ("test", "source_overlap", 2),
        ("validation", "pair_overlap", 1),
        ("test", "pair_overlap", 1),
    ]


def test_a_fraction_that_is_held_out_does_not_overlap_with_training(dirty):
    dirty.sources[8] = dirty.sources[2]
    report, found = dirty.report(dirty.write(validation={"fraction": 0.3}))
    assert found == {}
    training, validation = report.splits
    assert training.pairs + validation.pairs == 40 and validation.pairs > 0


def test_unequal_files_fail_and_so_does_a_missing_one(dirty):
    dirty.targets.append(b"one")
    report, found = dirty.report(dirty.write())
    assert not report.passes and found["unequal_lengths"][1][0][0] == "b:41"
    (dirty.folder / "b").unlink()
    report, found = dirty.report(dirty.folder / "c.yaml")
    assert not report.passes and list(found) == ["unreadable"]
    assert found["unreadable"][1] == [("b", "there is no such file.")]


def test_a_damaged_archive_is_read_as_far_as_it_goes(dirty):
    config = dirty.write()
    whole = gzip.compress(b"".join(line + b"\n" for line in dirty.sources * 50))
    (dirty.folder / "a.gz").write_bytes(whole[: len(whole) // 2])
    config.write_text(config.read_text().replace(f"{dirty.folder}/a", f"{dirty.folder}/a.gz"))
    report, found = dirty.report(config)
    assert not report.passes and found["unreadable"][1][0][0] == "a.gz"


def test_rows_of_a_tsv_need_two_columns_and_a_weight_where_there_is_a_third(dirty):
    lines = (b"no tab", b"", b"1 2\tone two\theavy", b"2 2\ttwo two\t-1", b"3\tthree\t0.5")
    report, found = dirty.report(dirty.write_tsv(*lines))
    assert not report.passes
    assert found == {
        "missing_column": (1, [("t:41", "no tab")]),
        "bad_weight": (2, [("t:43", "heavy"), ("t:44", "-1")]),
        "empty_line": (1, [("t:42", "")]),
    }
    assert report.splits[0].used == 41
    _, found = dirty.report(dirty.write_tsv(*lines[1:], third_column="ignore"))
    assert list(found) == ["empty_line"]


def test_no_pair_at_all_or_none_left_fails(dirty):
    report, found = dirty.report(dirty.write(max_length=1))
    assert not report.passes and found["no_pairs"][0] == 1
    dirty.sources, dirty.targets = [b"", b""], [b"", b" "]
    report, found = dirty.report(dirty.write())
    assert not report.passes and set(found) == {"empty_line", "no_pairs"}


def test_a_vocabulary_that_training_could_not_learn_fails(dirty):
    dirty.settings["tokenizer"].update(type="unigram", vocab_size=8000)
    report, found = dirty.report(dirty.write())
    assert not report.passes
    assert "no more than" in found["no_tokenizer"][1][0][1]


def test_types_outside_the_vocabulary_are_counted(dirty):
    dirty.settings["tokenizer"]["vocab_size"] = 10
    training = dirty.report(dirty.write())[0].splits[0]
    assert 0 < training.source_unknown < training.source_pieces
    assert 0 < training.target_unknown < training.target_pieces


def sentences(number, seed):
    """Source and target lines of varying lengths; now and then they share a name."""
    chooser = random.Random(seed)
    pairs = []
    for _ in range(number):
        length = chooser.randint(4, 18)
        name = f"name{chooser.randrange(300)}" if chooser.random() < 0.2 else "it"
        source = " ".join(chooser.choice(["a", "dog", "runs", "small"]) for _ in range(length))
        longer = max(1, length + chooser.randint(-2, 2))
        target = " ".join(chooser.choice(["ein", "hund", "rennt", "klein"]) for _ in range(longer))
        pairs.append((f"{source} {name} .", f"{target} {name.replace('it', 'es')} ."))
    return [list(side) for side in zip(*pairs, strict=True)]


def steps(sources, targets):
    alignment = Alignment()
    for source, target in zip(sources, targets, strict=False):
        alignment.add(source, target)
    return [(step.line, step.offset) for step in alignment.steps]


@pytest.mark.parametrize("number", [1_000, 29_000])
@pytest.mark.parametrize("offset", [1, -1])
def test_a_line_that_one_file_lacks_is_found_near_where_it_was(number, offset):
    sides = sentences(number, seed=number)
    middle = number // 2
    del sides[0 if offset > 0 else 1][middle]
    ((line, found),) = steps(*sides)
    assert found == offset and abs(line - middle) <= 30


def test_lines_that_both_files_lack_in_different_places_are_found():
    sources, targets = sentences(1_000, seed=7)
    del sources[300], targets[600]
    (begin, first), (end, second) = steps(sources, targets)
    assert (first, second) == (1, 0)
    assert abs(begin - 300) <= 30 and abs(end - 600) <= 30


@pytest.mark.parametrize("seed", range(3))
def test_neither_aligned_files_nor_files_in_no_order_look_shifted(seed):
    sources, targets = sentences(5_000, seed)
    assert steps(sources, targets) == []
    random.Random(seed).shuffle(targets)
    assert steps(sources, targets) == []
    assert steps(["the same"] * 500, ["das gleiche"] * 500) == []


def test_a_shift_fails_though_the_files_are_equally_long(dirty):
    sources, targets = sentences(1_000, seed=9)
    del sources[400], targets[990]
    dirty.sources = [line.encode() for line in sources]
    dirty.targets = [line.encode() for line in targets]
    report, found = dirty.report(dirty.write())
    (place, text), *_ = found["shift"][1]
    assert not report.passes and report.findings[0].kind == "shift"
    assert abs(int(place.removeprefix("a:")) - 400) <= 30 and "line i+1" in text


def test_texts_are_seen_again_in_any_chunks():
    chooser = random.Random(2)
    texts = [str(chooser.randrange(400)) for _ in range(1_000)]
    seen, found, known = Seen(), [], set()
    while len(found) < len(texts):
        found += seen.add(texts[len(found) : len(found) + chooser.randint(1, 60)]).tolist()
    expected = [text in known or known.add(text) is not None for text in texts]
    assert found == expected
    assert seen.contains(["0", "400", "nothing"]).tolist() == ["0" in known, False, False]


@pytest.mark.parametrize(
    ("limits", "lengths", "broken"),
    [
        (Limits(5), (5, 5), None),
        (Limits(5), (1, 6), "too_long"),
        (Limits(5, 2.5), (2, 5), None),
        (Limits(9, 2.5), (6, 2), "uneven"),
        (Limits(5), (0, 3), "empty_side"),
        (Limits(5, drop_identical=True), (2, 2), "identical"),
    ],
)
def test_a_pair_breaks_a_limit_beyond_it_and_not_at_it(limits, lengths, broken):
    assert limits.broken(Pair("same", "same"), *lengths) == broken


def test_training_says_what_the_limits_left_out(dirty, capfd):
    counts = Counts(7, uneven=2, identical=1)
    TrainingView(None, None, None).show(DataReady(counts, None))
    said = "7 (left out: 2 uneven in length, 1 with identical sides)"
    assert said in capfd.readouterr().err
    process = s2s("train", dirty.write(max_length_ratio=0.1), cwd=dirty.folder)
    assert process.returncode == 1
    assert "40 break data.max_length_ratio (0.1)." in process.err


REPORT = """\
training            40 pairs,          37 used   <unk> 0.000% of the source, 0.000% of the target
validation          24 pairs,          24 used   <unk> 0.000% of the source, 0.000% of the target

fail  training    line that is not UTF-8                   1  training stops
    b:5  \\xff
warn  training    empty side                               2  left out
    b:2  1 2 |
    b:3  1 3 |
warn  training    identical sides                          1  kept
    a:4  9 | 9
warn  training    control or zero-width character          4  kept
    b:7  \\u200bone
    b:8  \\u200bone
    b:9  \\u200bone

failed: 1 to mend before training, and 3 warnings
"""


def test_the_report_and_its_json_go_to_stdout_with_the_exit_code(dirty):
    dirty.sources[1:3], dirty.targets[1:3] = [b"1 2", b"1 3"], [b"", b""]
    dirty.sources[3] = dirty.targets[3] = b"9"
    dirty.targets[4] = b"\xff"
    dirty.targets[6:10] = ["\u200bone".encode()] * 4
    config = dirty.write()
    process = s2s("check", config, cwd=dirty.folder)
    assert (process.returncode, process.err) == (1, "")
    assert process.out == REPORT

    process = s2s("check", config, "--json", cwd=dirty.folder)
    report = json.loads(process.out)
    assert (process.returncode, report["passes"]) == (1, False)
    assert [finding["kind"] for finding in report["findings"]] == [
        "invalid_utf8",
        "empty_side",
        "identical",
        "control",
    ]

    dirty.targets[4] = b"one"
    process = s2s("check", dirty.write(), cwd=dirty.folder)
    assert process.returncode == 0 and process.out.endswith("\npassed, with 3 warnings\n")


def test_half_a_test_set_is_a_mistake_of_usage(dirty):
    process = s2s("check", dirty.write(), "--test-source", dirty.folder / "a")
    assert process.returncode == 2 and "--test-target" in process.err
