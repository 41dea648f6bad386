"""The errors that a user can cause, each with what to do next."""


class S2SError(Exception):
    """A mistake in a value, a file or a configuration.

    `message` says what is wrong, where, and what is allowed; `hint` says what
    to do next. The command line prints both and exits with code 1.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(S2SError):
    """A configuration that cannot be used; every mistake in it is listed."""


class DataError(S2SError):
    """A corpus, vocabulary or vector file that cannot be used."""


class RunError(S2SError):
    """A run directory that is missing, damaged, or belongs to another config."""


class ExportError(S2SError):
    """An export that was refused, or that did not say the same as its run."""
