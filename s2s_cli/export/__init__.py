"""A trained run becomes an artefact that needs nothing of ours."""

FORMATS = ("keras", "saved_model")
