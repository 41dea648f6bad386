"""Any bytes as a TSV, as two parallel files, and as either of them compressed."""

from __future__ import annotations

import gzip

import atheris

with atheris.instrument_imports(include=["s2s_cli.text.corpus", "s2s_cli.config.schema.data"]):
    from s2s_cli.text.corpus import read_pairs, read_rows

from fuzz.harness import fuzz, scratch
from s2s_cli.config.schema import Files
from s2s_cli.errors import DataError

TEXTS = [
    b"a\tb\nc\td\n", b"\xef\xbb\xbfa\tb\t0.5\r\n", b"a\nb\n--\nc\nd\n", b"a\xff\tb\n", b"\n\n--\n",
    b"a\tb\tnan\n", b"a\tb\t1e999\n", "ü\u2028x\té\u0085\n".encode(), b"x\0\ty\n",
]  # fmt: skip


def main() -> None:
    """The first byte says how the rest is read."""
    folder = scratch()

    def target(data: bytes) -> None:
        how, content = (data[0] if data else 0), data[1:]
        end = ".gz" if how & 1 else ""
        if how & 2:
            source, _, other = content.partition(b"--\n")
            paths = [folder / f"source{end}", folder / f"target{end}"]
            for path, part in zip(paths, (source, other), strict=True):
                path.write_bytes(part)
            files = Files(source=str(paths[0]), target=str(paths[1]))
        else:
            path = folder / f"pairs.tsv{end}"
            path.write_bytes(content)
            files = Files(tsv=str(path), third_column="ignore" if how & 4 else "weight")
        problems = [problem for row in read_rows(files) for problem in row.problems]
        assert all(problem.place and problem.message for problem in problems)
        for pair in read_pairs(files):
            assert pair.source or pair.target
            assert "\n" not in pair.source + pair.target and pair.weight >= 0
        assert not problems

    plain = [bytes([how]) + text for text in TEXTS for how in (0, 2, 4)]
    packed = [bytes([how]) + gzip.compress(text, mtime=0) for text in TEXTS for how in (1, 3)]
    fuzz(target, plain + packed, (DataError,))


if __name__ == "__main__":
    main()
