"""`s2s init`: a config for a pair of files."""

from s2s_cli.cli.app import main
from s2s_cli.config.load import load_config


def test_init_writes_a_valid_config_and_never_overwrites(corpus, tmp_path, capsys):
    files = (str(corpus / "train.digits"), str(corpus / "train.words"))
    output = tmp_path / "my config.yaml"
    assert main(["init", *files, "-o", str(output)]) == 0
    assert f"s2s train '{output}'" in capsys.readouterr().err
    config = load_config(output)
    assert config.data.train[0].source == files[0]
    assert "# 240 sentence pairs" in output.read_text()
    before = output.read_bytes()
    assert main(["init", *files, "-o", str(output)]) == 1
    assert "there is a file already" in capsys.readouterr().err and output.read_bytes() == before


def test_the_architecture_is_chosen_by_an_option(corpus, tmp_path, capsys):
    files = (str(corpus / "train.digits"), str(corpus / "train.words"))
    output = tmp_path / "s2s.yaml"
    assert main(["init", *files, "-o", str(output), "--architecture", "rnn"]) == 1
    shown = capsys.readouterr().err
    assert "--architecture is 'rnn'; it must be one of lstm, gru, transformer." in shown
    assert main(["init", *files, "-o", str(output), "--architecture", "transformer"]) == 0
    assert load_config(output).model.architecture == "transformer"


def test_files_that_are_not_parallel_are_refused(tmp_path, capsys):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\n")
    (tmp_path / "empty").write_text("")
    a, b, empty = (str(tmp_path / name) for name in ("a", "b", "empty"))
    output = tmp_path / "s2s.yaml"
    assert main(["init", a, b, "-o", str(output)]) == 1
    assert f"{a} has 2 lines and {b} has 1" in capsys.readouterr().err
    assert main(["init", empty, empty, "-o", str(output)]) == 1
    assert "there is not one sentence pair in it" in capsys.readouterr().err
    assert not output.exists()


def test_one_file_becomes_a_config_that_reads_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "pairs.csv"
    table.write_text("id,en,de\n" + "".join(f'{i},dog {i},"Hund, {i}"\n' for i in range(30)))
    assert main(["init", "pairs.csv", "-o", "a.yaml", "--columns", "[en, de]"]) == 0
    shown = capsys.readouterr().err
    assert "pairs.csv is read as CSV: columns 2 and 3, a header, comma between columns" in shown
    corpus = load_config(tmp_path / "a.yaml").data.train[0]
    assert (corpus.path, corpus.columns) == (str(table), ["en", "de"])
    assert "# 30 sentence pairs" in (tmp_path / "a.yaml").read_text()


def test_a_wrong_column_of_one_file_is_named_by_its_option(tmp_path, capsys):
    path = str(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("a,b\n")
    output = ["-o", str(tmp_path / "a.yaml")]
    assert main(["init", path, *output, "--columns", "[0, 1]"]) == 1
    assert (
        "error: --columns: data.train.0.columns.0 is 0; it must be at least 1 or text.\n"
        in capsys.readouterr().err
    )
    assert main(["init", path, path, *output, "--columns", "[1, 2]"]) == 1
    assert "error: --columns: data.train.0.columns needs `path: FILE`.\n" in capsys.readouterr().err
    assert not (tmp_path / "a.yaml").exists()
