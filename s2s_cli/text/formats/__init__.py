"""Formats of corpora: each is one file with a function that gives the rows of an open file."""
