"""Compares what a translation leaves as it is: numbers, URLs and e-mail addresses."""

from __future__ import annotations

import re
import unicodedata

# Digits from which on a number is more than a word would say.
LONG_NUMBER = 3

_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"\d+")
_SEPARATOR = "[.,'’\u066c \xa0\u2009\u202f]"
# 1,000 and 1 000 000, and 1,00,000 as in India.
_GROUPED = re.compile(rf"(?<!\d)\d{{1,3}}(?:{_SEPARATOR}\d{{2,3}})*{_SEPARATOR}\d{{3}}(?!\d)")
_NOT_A_DIGIT = re.compile(r"\D")
# 3万 is 30,000: numbers of Chinese, Japanese and Korean text that are not comparable by digits.
_MULTIPLIED = re.compile("\\d\\s?[十百千万萬亿億兆백천만억조]")
_ROUND = re.compile("[1-9]0+")
_HALF_A_DAY = 12

_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.)[!-;=?-~]+|[\w.+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE
)
_URL_START = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:www\.)?")
_TRAILING = ".,;:!?'\"()[]{}/*_"


def numbers_differ(source: str, target: str) -> bool:
    """Whether both sides hold a number that the other lacks, or one a long number and the other none.

    Numbers are runs of decimal digits of any script, without leading zeros.
    """
    if not (_DIGIT.search(source) or _DIGIT.search(target)):
        return False
    if not _differ(_numbers(source), _numbers(target)):
        return False
    # The same digits may be grouped differently: 932-8647 and 932-86-47, 155 cm and 1 m 55. And the
    # space in `on day 12 300 people` looks like a separator of thousands and is none.
    runs, other_runs = _RUN.findall(source), _RUN.findall(target)
    if "".join(runs) == "".join(other_runs) or sorted(runs) == sorted(other_runs):
        return False
    return not (_MULTIPLIED.search(source) or _MULTIPLIED.search(target))


def _differ(source: set[str], target: set[str]) -> bool:
    if not source or not target:
        return any(
            len(number) >= LONG_NUMBER and not _ROUND.fullmatch(number)
            for number in source | target
        )
    return bool(_lacking(source, target)) and bool(_lacking(target, source))


def _lacking(numbers: set[str], others: set[str]) -> set[str]:
    """The numbers of which `others` have neither the same nor another usual form."""
    return {
        number
        for number in numbers - others
        if not any(_is_same_hour(number, other) or _is_same_year(number, other) for other in others)
    }


def _is_same_hour(one: str, other: str) -> bool:
    """3 and 15, 0 and 12, 12 and 24."""
    if len(one) > 2 or len(other) > 2:
        return False
    return (
        abs(int(one) - int(other)) == _HALF_A_DAY and max(int(one), int(other)) <= 2 * _HALF_A_DAY
    )


def _is_same_year(one: str, other: str) -> bool:
    """1950 and 50."""
    shorter, longer = sorted((one, other), key=len)
    return (len(shorter), len(longer)) == (2, 4) and longer.endswith(shorter)


def _numbers(text: str) -> set[str]:
    """The numbers in a text, without separators of thousands and leading zeros, in ASCII digits."""
    text = _GROUPED.sub(lambda found: _NOT_A_DIGIT.sub("", found[0]), text)
    return {_normalized(run) for run in _RUN.findall(text)}


def _normalized(run: str) -> str:
    if not run.isascii():
        run = "".join(str(unicodedata.decimal(digit)) for digit in run)
    return run.lstrip("0") or "0"


def addresses_differ(source: str, target: str) -> bool:
    """Whether the sides hold different URLs or e-mail addresses.

    Case, trailing punctuation, `https://` and `www.` are no difference.
    """
    if not (_may_have_address(source) or _may_have_address(target)):
        return False
    return _addresses(source) != _addresses(target)


def _may_have_address(text: str) -> bool:
    return "@" in text or "://" in text or "www." in text.lower()


def _addresses(text: str) -> set[str]:
    found = (address.rstrip(_TRAILING).lower() for address in _ADDRESS.findall(text))
    return {_URL_START.sub("", address) for address in found}
