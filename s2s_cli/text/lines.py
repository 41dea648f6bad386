"""Text that has to stay on one line."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Text with each line break, which a token may contain, replaced by a space."""
    return " ".join(text.splitlines())
