"""Translates stdin line by line, in bounded memory: `translate_lines.py runs/quickstart < FILE`."""

import sys

import s2s_cli as s2s


def main(run: str) -> None:
    """Writes the best translation of each line, in order."""
    translator = s2s.load(run, beam_size=3)
    lines = (line.rstrip("\n") for line in sys.stdin)
    # Lines are read 256 at a time, so the input may be endless; each yields an n-best list.
    for best, *_ in translator.translate_iter(lines, chunk=256):
        print(best.text, f"{best.score:.3f}", sep="\t")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except s2s.S2SError as error:
        sys.exit(f"{error.message} {error.hint}")
