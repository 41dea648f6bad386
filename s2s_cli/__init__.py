"""From a file of sentence pairs to a translation model that people use."""

__version__ = "0.1.0"
