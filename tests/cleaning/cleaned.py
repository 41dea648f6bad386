"""Runs cleaning on lines and reads what it wrote."""

from conftest import write_config

from s2s_cli.cleaning.clean import clean
from s2s_cli.config.load import load_config
from s2s_cli.config.schema import Files
from s2s_cli.text.corpus import read_rows


def clean_lines(folder, lines, *, name="a.tsv", **cleaning):
    """The report on lines of a TSV, the kept pairs, and the rejects as (line, reason, columns…)."""
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return clean_corpora(folder, {"tsv": str(folder / name)}, **cleaning)


def clean_corpora(folder, *corpora, **cleaning):
    """The same for corpora of a config."""
    settings = {"data": {"train": list(corpora)}, "cleaning": cleaning}
    config = load_config(write_config(folder / "c.yaml", settings))
    report = clean(config, folder / "out", force=True)
    kept, rejected = [], []
    for corpus in report.corpora:
        kept += read_kept(corpus.kept_file)
        with open(corpus.rejected_file, encoding="utf-8") as file:
            rejects = [line.removesuffix("\n").split("\t") for line in file]
        rejected += [(int(number), *rest) for number, *rest in rejects]
    return report, kept, rejected


def read_kept(path):
    """The pairs in a file of kept pairs, as training reads them."""
    with open(path, "rb") as file:
        if not file.read(1):
            return []
    rows = list(read_rows(Files(tsv=str(path))))
    assert not any(row.problems for row in rows)
    return [(row.pair.source, row.pair.target, row.pair.weight) for row in rows]


def reasons(rejected):
    """{line: reason} of rejects."""
    return {number: reason for number, reason, *_ in rejected}
