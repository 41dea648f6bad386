"""Finds text that was damaged: read in the wrong encoding, or with characters that are no text."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"

# Mojibake is UTF-8 that was read as Windows-1252 or Latin-1: each byte has become a character. The
# bytes of a letter are a lead byte, C2 to F4, and then continuation bytes, 80 to BF.
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_AS_WINDOWS = _CONTINUATION_BYTES.decode("cp1252", "ignore")
_AS_LATIN = _CONTINUATION_BYTES.decode("latin-1")
_CONTINUATION = "".join(sorted(set(_AS_WINDOWS + _AS_LATIN)))
_C = f"[{_CONTINUATION}]"
# What good text has behind a capital or a small letter, as in `É”`, `à »`, `Ö’s`, `é²`, `éœ`.
_PUNCTUATION = "\xa0\xab\xbb‘’‚“”„‹›…–—"
_INSIDE_WORDS = "ŠŽŒšžœŸƒ\xb9²³®™"
_D = f"[{''.join(c for c in _CONTINUATION if c not in _PUNCTUATION)}]"
_E = f"[{''.join(c for c in _CONTINUATION if c not in _PUNCTUATION + _INSIDE_WORDS)}]"
# Capitals, and Latin letters beyond Latin-1.
_UPPER, _LOWER = "A-ZÀ-ÖØ-ÞĀ-ɏḀ-ỿ", "a-zß-öø-ÿ"
_MOJIBAKE = re.compile(
    "|".join(
        (
            # é à ° and their kin. No language has Ã or Â between small letters.
            f"(?<![{_UPPER}])[ÂÃ]{_C}|[ÂÃ]{_D}(?=[{_LOWER}])",
            f"(?<=[{_LOWER}])Ã",
            # ł ş ő and other letters beyond Latin-1, inside a word, at its end or its beginning.
            f"(?<=[{_LOWER}])[Ä-ÖØ-Þ](?:{_C}(?=[{_LOWER}])|{_D})",
            rf"(?<!\w)[Ä-ÖØ-Þ]{_E}(?=[{_LOWER}])",
            # Two letters of another alphabet in a row.
            f"(?:[Ä-ß]{_C}){{2}}",
            # Scripts with three or four bytes a letter, and Vietnamese ế and ệ.
            f"(?:[à-ï]{_C}{_C}){{2}}|ð{_C}{_C}{_C}",
            f"[à-ï]{_E}{_E}|á»(?![¡¿]){_E}",
            # Quotation marks, dashes and symbols; a byte order mark; U+FFFD.
            f"â€|â‚¬|â[†‡ˆ‰Š™š˜ŒœŽžŸƒ]{_C}|ï»¿|ï¿½",
            # Bytes for which Windows-1252 has no character, or text that was read as Latin-1.
            "[Â-ô][\x80-\x9f]",
        )
    )
)
# What all of these begin with, which is quick to search for.
_MAY_BE_MOJIBAKE = re.compile(f"Ã|[Â-ô]{_C}")

# Thai, Lao, Tibetan, Burmese and Khmer, in which a zero-width space divides words.
_UNSPACED = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
# C0 and C1 but the tab, separators of lines, invisible operators, deprecated format characters, a
# byte order mark inside text, marks of annotations, noncharacters.
_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"
    "\ufdd0-\ufdef\ufffe\uffff"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(1 << 16, 17 << 16, 1 << 16)
    )
    + f"]|(?<![{_UNSPACED}])\u200b(?![{_UNSPACED}])"
)


def is_mojibake(text: str) -> bool:
    """Whether the text is UTF-8 that was read as Windows-1252 or Latin-1."""
    if text.isascii() or not _MAY_BE_MOJIBAKE.search(text):
        return False
    return _MOJIBAKE.search(text) is not None


def has_control(text: str) -> bool:
    """Whether the text holds control characters, invisible characters or noncharacters.

    Those that real text has are none: tabs, soft hyphens, joiners, and marks of direction.
    """
    return not text.isprintable() and _CONTROL.search(text) is not None
