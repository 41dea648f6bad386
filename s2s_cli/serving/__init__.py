"""Translations over HTTP: `s2s serve`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a server accepts; each refusal says which limit it was."""

    body_bytes: int = 1 << 20
    """Bytes of a request."""
    characters: int = 10_000
    """Characters of all texts of a request."""
    sentences: int = 200
    """Lines of all texts of a request."""
    queue: int = 1000
    """Lines that wait for all requests; further ones are answered 503."""
    alternatives: int = 3
    """Further translations of a text that may be asked for."""
    batch: int = 64
    """Lines that are translated together."""
    wait_seconds: float = 0.003
    """How long an idle server waits for further lines before it translates."""
