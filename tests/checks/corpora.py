"""Corpora that the tests of the check share."""

import random

from conftest import DIGITS, tiny_settings, write_config

from s2s_cli.checks.check import check
from s2s_cli.config.load import load_config


class DirtyCorpus:
    """Pairs of digits and words, numbered from 1, in which tests replace lines."""

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


def lines_with_shared_names(number, seed):
    """Source and target lines of varying lengths; one in five pairs shares a name."""
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
