"""A file translated in blocks: by shards, by Ray actors, with interruptions, and joined in order."""

import gzip
import os
import sys
from pathlib import Path

import pytest

from s2s_cli.cli.app import main
from s2s_cli.cluster.blocks import MAX_LINES, MIN_LINES, Parts, Shard
from s2s_cli.cluster.ray_session import ray_session
from s2s_cli.cluster.ray_translation import translate_with_ray
from s2s_cli.errors import S2SError


def parts_of(folder: Path, sentences: list[str], **changes) -> Parts:
    made_from = {"input": "a", "settings": "b", **changes}
    parts = Parts(str(folder / "out.txt"), made_from, len(sentences), {"long_sources": "split"})
    parts.begin()
    return parts


def shouted(block) -> tuple[list[str], dict[str, list[int]]]:
    """A translation in capitals; sentences with an x are noted."""
    numbers = enumerate(block.sentences, start=block.first + 1)
    return [one.upper() for one in block.sentences], {"odd": [n for n, s in numbers if "x" in s]}


SENTENCES = [f"line {i} {'x' * (i % 7 == 0)}" for i in range(5 * MIN_LINES + 3)]


@pytest.mark.parametrize(
    ("lines", "size", "count"),
    [(0, MIN_LINES, 0), (1, MIN_LINES, 1), (6400, 100, 64), (2_000_000, MAX_LINES, 489)],
)
def test_blocks_follow_from_the_number_of_lines(lines, size, count):
    parts = Parts("o", {}, lines, {})
    assert (parts.block_lines, parts.count) == (size, count)


def test_parts_of_any_order_are_joined_in_order_with_their_notes(tmp_path):
    parts = parts_of(tmp_path, SENTENCES)
    for block in reversed(list(parts.blocks(SENTENCES, None, {"not_utf8": []}))):
        parts.write(block, *shouted(block))
    notes = Parts.of(str(tmp_path / "out.txt")).join()
    assert (tmp_path / "out.txt").read_text().splitlines() == [s.upper() for s in SENTENCES]
    assert notes == {"not_utf8": [], "odd": list(range(1, len(SENTENCES) + 1, 7))}
    assert not parts.folder.exists()


def test_each_block_has_its_prefixes_and_what_was_noted_when_it_was_read(tmp_path):
    parts, noted = parts_of(tmp_path, SENTENCES), {"not_utf8": []}

    def read():
        for number, sentence in enumerate(SENTENCES, start=1):
            if number in (3, MIN_LINES + 1):
                noted["not_utf8"].append(number)
            yield sentence

    blocks = list(parts.blocks(read(), map(str, range(len(SENTENCES))), noted))
    assert [block.notes["not_utf8"] for block in blocks[:3]] == [[3], [MIN_LINES + 1], []]
    assert blocks[1].prefixes[0] == str(MIN_LINES) == str(blocks[1].first)


def test_a_missing_or_damaged_part_is_named_and_nothing_is_written(tmp_path):
    parts = parts_of(tmp_path, SENTENCES)
    blocks = list(parts.blocks(SENTENCES, None, {}))
    for block in blocks[:-2]:
        parts.write(block, *shouted(block))
    with pytest.raises(S2SError, match=r"2 of 6 parts are missing: 4, 5\."):
        parts.join()
    for block in blocks[-2:]:
        parts.write(block, *shouted(block))
    damaged = parts.folder / "00000002.txt"
    damaged.write_bytes(damaged.read_bytes().replace(b"LINE 70", b"LINE 07"))
    with pytest.raises(S2SError, match=r"00000002\.txt: this part is damaged"):
        parts.join()
    assert parts.finished() == {0, 1, 3, 4, 5}
    assert not (tmp_path / "out.txt").exists()


def test_parts_of_another_translation_are_never_mixed_in(tmp_path):
    parts_of(tmp_path, SENTENCES)
    parts_of(tmp_path, SENTENCES)
    with pytest.raises(S2SError, match="its input was a, and is c now"):
        parts_of(tmp_path, SENTENCES, input="c")
    with pytest.raises(S2SError, match="its lines was 163, and is 162 now"):
        parts_of(tmp_path, SENTENCES[1:])
    (tmp_path / "out.txt.parts" / "parts.json").write_text("{")
    with pytest.raises(S2SError, match=r"parts\.json: it cannot be read"):
        Parts.of(str(tmp_path / "out.txt"))
    with pytest.raises(S2SError, match="there are no parts of"):
        Parts.of(str(tmp_path / "other"))


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/3/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(S2SError, match=r"it must be I/N, such as 2/8"):
        Shard.parse(text)


def test_every_block_belongs_to_one_shard():
    shards = [Shard.parse(f"{i}/3") for i in (1, 2, 3)]
    assert all(sum(shard.has(block) for shard in shards) == 1 for block in range(20))


class DyingOnce:
    """Starts a translation that ends its process at the first block with a certain number."""

    def __init__(self, marker: Path):
        self._marker = marker

    def __call__(self):
        def translate(block):
            if block.number == 2 and not self._marker.exists():
                self._marker.touch()
                os._exit(1)
            return shouted(block)

        return translate


class Refusing:
    """Starts a translation that memory is too short for."""

    def __call__(self):
        def translate(block):
            raise S2SError("memory is too short.", "Lower it.")

        return translate


@pytest.mark.slow
def test_ray_actors_translate_all_blocks_also_those_of_an_actor_that_died(tmp_path, monkeypatch):
    # Actors import this module.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    parts, done = parts_of(tmp_path, SENTENCES), []
    blocks = list(parts.blocks(SENTENCES, None, {}))
    marker = tmp_path / "died"
    with ray_session(None, 2) as ray:
        translate_with_ray(
            ray, DyingOnce(marker), parts, blocks[1:], actors=2, threads=1, on_done=done.append
        )
        parts.write(blocks[0], *shouted(blocks[0]))
        with pytest.raises(S2SError) as caught:
            translate_with_ray(
                ray, Refusing(), parts, blocks, actors=1, threads=1, on_done=done.append
            )
    assert (caught.value.message, caught.value.hint) == ("memory is too short.", "Lower it.")
    assert marker.exists() and sum(done) == len(SENTENCES) - len(blocks[0].sentences)
    parts.join()
    assert (tmp_path / "out.txt").read_text().splitlines() == [s.upper() for s in SENTENCES]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A packed file of sentences, with an empty one, a long one, and one that is not UTF-8."""
    lines = [b" ".join(b"%d" % (i * k % 10) for k in range(i % 6)) for i in range(3 * MIN_LINES)]
    lines[5], lines[-1] = b" ".join([b"7"] * 60), b"1 \xff"
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    return path


def test_shards_give_the_lines_and_warnings_of_one_process(trained, numbers, tmp_path, capsys):
    # Scores depend on the other sentences of a batch, in their last digits.
    options = ["--alignments", "--beam-size", "2", "-i", numbers]
    translate = ["translate", str(trained), *map(str, options), "-o"]
    assert main([*translate, str(tmp_path / "whole")]) == 0
    expected = capsys.readouterr().err
    out = tmp_path / "out.gz"
    for shard in ("2/2", "1/2", "1/2"):
        assert main([*translate, str(out), "--shard", shard]) == 0
        assert f"s2s merge {out}" in capsys.readouterr().err
    assert main(["merge", str(out)]) == 0
    text = gzip.decompress(out.read_bytes()).decode()
    assert text == (tmp_path / "whole").read_text()
    assert len(text.splitlines()) == 3 * MIN_LINES
    merged = capsys.readouterr().err.splitlines()
    assert merged == [*expected.splitlines(), f"{out}: 96 lines from 3 parts"]
    assert len(expected.splitlines()) == 2
    assert main([*translate, "-", "--shard", "1/2"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == (
        "error: --shard translates a file into a file."
    )
    assert main([*translate, str(out), "--shard", "1/2", "--workers", "2"]) == 1
    assert "--shard and --workers exclude each other." in capsys.readouterr().err
