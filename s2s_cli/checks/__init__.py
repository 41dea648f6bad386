"""Finds what is wrong with a corpus before it is trained on."""
