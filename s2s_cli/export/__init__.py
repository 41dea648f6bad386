"""A trained run becomes an artefact that others can load, with proof that it says the same."""

FORMATS = ("keras", "saved_model")
