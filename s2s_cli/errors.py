"""Errors that a user can cause and correct, each with a hint at what to do next."""

from __future__ import annotations


class S2SError(Exception):
    """A mistake in a value, a file or a config.

    `message` says what is wrong, where, and what is allowed; `hint` says what to do next. The
    command line prints both and exits with code 1.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(S2SError):
    """A config that cannot be used; the message lists every mistake in it."""


class DataError(S2SError):
    """A corpus, vocabulary or file of word vectors that cannot be used."""


class RunError(S2SError):
    """A run directory that is missing or damaged, or that belongs to another config."""


class ExportError(S2SError):
    """An export that was refused, or whose translations differ from those of its run."""


def pip_install_hint(extra: str) -> str:
    """The command that installs an optional dependency, by the name of its extra.

    The distribution is called s2s-cli: on PyPI, s2s is another project.
    """
    return f'pip install "s2s-cli[{extra}]"'
