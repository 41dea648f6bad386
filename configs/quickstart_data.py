"""Writes the quickstart's pairs: dates in American English and the same dates in French.

Formats, months and weekdays are Unicode's locale data (CLDR), through Babel. Each
date is written in one of CLDR's four styles; no date of test.tsv is in train.tsv.
"""

import random
import sys
from datetime import date, timedelta
from pathlib import Path

from s2s_cli.errors import pip_install_hint

try:
    from babel.dates import format_date
except ImportError:
    sys.exit(f"The quickstart needs Babel. Install it with: {pip_install_hint('demo')}")

STYLES = ("full", "long", "medium", "short")
FIRST, LAST = date(1970, 1, 1), date(2029, 12, 31)
SIZES = {"train": 16_000, "validation": 500, "test": 1_000}


def main() -> None:
    """Writes train.tsv, validation.tsv and test.tsv into configs/quickstart."""
    folder = Path(__file__).parent / "quickstart"
    folder.mkdir(exist_ok=True)
    chooser = random.Random(1)
    days = range((LAST - FIRST).days + 1)
    chosen = iter(chooser.sample(days, sum(SIZES.values())))
    for name, size in SIZES.items():
        with open(folder / f"{name}.tsv", "w", encoding="utf-8", newline="\n") as file:
            for _, offset in zip(range(size), chosen, strict=False):
                day, style = FIRST + timedelta(days=offset), chooser.choice(STYLES)
                english, french = (format_date(day, style, locale) for locale in ("en_US", "fr_FR"))
                file.write(f"{english}\t{french}\n")
        print(f"wrote {size:,} pairs to {folder / name}.tsv")


if __name__ == "__main__":
    main()
