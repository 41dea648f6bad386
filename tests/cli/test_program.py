"""The program as a person starts it: a new process each."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import s2s, s2s_here, tiny_settings, write_config

pytestmark = pytest.mark.slow


def test_translations_are_all_that_is_on_stdout_a_line_for_each_line(trained):
    lines = ["1 2 3", "", "4", "   ", "5 6", "\t", "7 7 7 7"]
    process = s2s_here("translate", trained, stdin="\n".join(lines) + "\n")
    assert process.returncode == 0 and process.err == ""
    found = process.out.split("\n")
    assert len(found) == len(lines) + 1 and found[-1] == ""
    for line, translation in zip(lines, found, strict=False):
        assert bool(line.strip()) or translation == ""


def test_a_closed_stream_is_as_the_null_device(trained, tmp_path):
    program = f"{sys.executable} -m s2s_cli"
    config = trained.parent / "tiny.yaml"
    for command, out in (
        (f"translate {trained} '1 2' <&-", s2s_here("translate", trained, "1 2").out),
        (f"translate {trained} <&-", ""),
        (f"translate {trained} '1 2' >&-", ""),
        (f"check {config} 2>&-", s2s_here("check", config).out),
        (f"train {config} --run {tmp_path / 'run'} --set training.max_steps=1 2>&- <&- >&-", ""),
    ):
        found = subprocess.run(
            f"{program} {command}", shell=True, capture_output=True, text=True, check=False
        )
        assert (found.returncode, found.stdout, found.stderr) == (0, out, ""), command


def test_order_batching_and_where_text_comes_from_do_not_change_a_translation(trained, tmp_path):
    lines = ["1 2 3", "4", "5 6", "7 7 7 7", "1 2 3"]
    (tmp_path / "in").write_text("\n".join(lines) + "\n")
    from_arguments = s2s_here("translate", trained, *lines).out
    from_file = s2s_here("translate", trained, "-i", tmp_path / "in", "-o", tmp_path / "out")
    one_by_one = s2s_here(
        "translate", trained, "--batch-size", 1, "-i", "-", stdin="\n".join(lines)
    )
    assert from_file.out == "" and (tmp_path / "out").read_text() == from_arguments
    assert one_by_one.out == from_arguments
    assert from_arguments.split("\n")[0] == from_arguments.split("\n")[4]


def test_an_output_file_may_be_the_input_or_a_link_and_outlives_an_error(trained, tmp_path):
    text, link = tmp_path / "text", tmp_path / "link"
    text.write_text("1 2\n3\n")
    link.symlink_to("text")
    expected = s2s_here("translate", trained, "1 2", "3").out
    assert s2s_here("translate", trained, "-i", text, "-o", link).returncode == 0
    assert link.is_symlink() and text.read_text() == expected
    assert s2s_here("translate", trained, "-i", tmp_path / "no", "-o", text).returncode == 1
    assert text.read_text() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "text"]


def test_max_length_bounds_a_translation(trained):
    long = s2s_here("translate", trained, "1 2 3").out.strip()
    short = s2s_here("translate", trained, "--max-length", 2, "1 2 3").out.strip()
    assert len(short) <= 2 and long.startswith(short)


def test_scores_and_alignments_follow_the_translation_if_requested(trained):
    plain = s2s_here("translate", trained, "1 2").out.rstrip("\n")
    text, score, alignment = (
        s2s_here("translate", trained, "--scores", "--alignments", "1 2")
        .out.rstrip("\n")
        .split(" ||| ")
    )
    assert text == plain and float(score) < 0
    (as_json,) = map(json.loads, s2s_here("translate", trained, "--json", "1 2").out.splitlines())
    (best,) = as_json["hypotheses"]
    assert "".join(as_json["source_tokens"]) == "▁1▁2" and best["text"] == plain
    assert alignment == " ".join(f"{i}-{j}" for i, j in best["alignment"]) != ""
    assert {i for i, _ in best["alignment"]} <= set(range(len(as_json["source_tokens"])))
    assert {j for _, j in best["alignment"]} <= set(range(len(best["tokens"])))


def test_n_best_lists_are_written_as_moses_does_and_as_json(trained):
    arguments = ("translate", trained, "--beam-size", 3, "--n-best", 2, "1 2", "", "7")
    lines = s2s_here(*arguments).out.splitlines()
    assert [line.split(" ||| ")[0] for line in lines] == ["0", "0", "1", "2", "2"]
    _, text, feature, score = lines[0].split(" ||| ")
    assert re.fullmatch(r"log_probability= -\d+\.\d{6}", feature) and float(score) < 0
    objects = [json.loads(line) for line in s2s_here(*arguments, "--json").out.splitlines()]
    assert [found["id"] for found in objects] == [0, 1, 2]
    best, second = objects[0]["hypotheses"]
    assert best["text"] == text and best["score"] >= second["score"]
    assert objects[1]["hypotheses"][0]["text"] == ""


def test_a_wrong_decoding_option_is_named_as_it_was_written(trained):
    process = s2s_here("translate", trained, "--beam-size", 0, "--max-length-ratio", "nan", "1 2")
    assert process.returncode == 1 and process.out == ""
    assert "--beam-size: decoding.beam_size is 0; it must be at least 1." in process.err
    assert "--max-length-ratio: decoding.max_length_ratio is 'nan'; it must be" in process.err
    process = s2s_here("translate", trained, "--n-best", 3, "1 2")
    assert (
        "--n-best: decoding.n_best is 3, but the beam holds 1; raise decoding.beam_size"
        in process.err
    )


def test_evaluate_prints_scores_with_intervals_and_signatures_and_two_tables(trained, corpus):
    files = ("--source", corpus / "validation.digits", "--reference", corpus / "validation.words")
    process = s2s("evaluate", trained, *files)
    assert process.returncode == 0, process.err
    head, bleu, chrf, ter, empty, lengths, *rest = process.out.splitlines()
    assert head.split() == ["score", "95%", "interval", "signature"] and empty == ""
    number = r"\d+\.\d\d"
    row = rf" +{number} +{number} to {number}  nrefs:1\|bs:1000\|seed:12345\|case:"
    assert re.match(rf"BLEU{row}mixed\|eff:no\|tok:13a\|", bleu)
    assert re.match(rf"chrF{row}mixed\|", chrf)
    assert re.match(rf"TER {row}lc\|", ter)
    assert lengths == "by the length of the source, in words"
    assert "by how often a word occurs in the training targets (240 sentences)" in rest
    record = trained / "translations" / "evaluation-validation.digits.jsonl"
    assert process.err == f"sources, references and translations: {record}\n"


def test_train_prints_plain_lines_and_suggests_what_comes_next(corpus, tmp_path):
    config = write_config(tmp_path / "tiny model.yaml", tiny_settings(corpus))
    process = s2s("train", config.name, cwd=tmp_path)
    assert process.returncode == 0 and process.out == "", process.err
    assert "\x1b" not in process.err and "\r" not in process.err
    noise = ("oneDNN", "cuda", "absl", "WARNING", "Warning", "rebuild")
    assert not [word for word in noise if word in process.err]
    shown = process.err.splitlines()
    assert shown[0] == f"new run           {tmp_path}/runs/tiny model"
    assert shown[1].startswith("learned a source vocabulary of")
    assert "training pairs    240" in shown
    assert any(line.startswith("validation at step 12: loss") for line in shown)
    assert shown[-2].strip() == "s2s translate 'runs/tiny model' -i FILE"
    assert (tmp_path / "runs" / "tiny model" / "config.yaml").is_file()
    again = s2s("train", config, "--run", tmp_path / "runs" / "tiny model")
    assert again.returncode == 0 and "12 steps are done" in again.err
    assert "new run" not in again.err


def _train_until(line_start: str, cwd, *arguments: str) -> subprocess.Popen:
    """A training that has just written a line with this start to stderr; `lines` holds all so far."""
    process = subprocess.Popen(
        [sys.executable, "-m", "s2s_cli", "train", "tiny.yaml", *arguments],
        cwd=cwd, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.lines = []
    for line in process.stderr:
        process.lines.append(line)
        if line.startswith(line_start):
            break
    return process


def test_an_interrupt_saves_and_the_same_command_resumes(corpus, tmp_path):
    settings = tiny_settings(corpus)
    settings["training"].update(max_steps=100_000, validation_steps=100_000)
    write_config(tmp_path / "tiny.yaml", settings)
    stopped_at = "0"
    for number in (signal.SIGINT, signal.SIGTERM):
        process = _train_until("step", tmp_path)
        process.send_signal(number)
        shown = "".join(process.lines) + process.communicate(timeout=60)[1]
        assert process.returncode == 130 and "it was interrupted" in shown
        assert "Traceback" not in shown
        assert (f"resumes at step {stopped_at}" in shown) == (stopped_at != "0")
        stopped_at = re.search(r"stopped at step ([\d,]+)", shown)[1]


def test_an_interrupt_before_the_first_step_stops_at_once(corpus, tmp_path):
    write_config(tmp_path / "tiny.yaml", tiny_settings(corpus))
    process = _train_until("new run", tmp_path)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in rest
    assert "interrupted before the first step" in rest or "it was interrupted" in rest


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_is_one_message(trained):
    process = s2s("translate", trained, "1 2", "-o", "/dev/full")
    assert process.returncode == 1 and "Traceback" not in process.err
    assert "No space left on device" in process.err
