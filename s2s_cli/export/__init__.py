"""A trained run becomes an artefact that others can load, with proof that it says the same."""

DESCRIPTION = "s2s-export.yaml"
"""The file by which an artefact is known."""
FORMAT_NAMES = ("keras", "saved_model", "onnx", "litert", "ctranslate2")
# What the weights of an artefact may be, in one format or another; float32 in all of them.
PRECISIONS = ("float32", "int8", "bfloat16")
# Settings of `decoding` that no export follows, which its notes then say; and those of sampling, which
# every format refuses.
NOTED_SETTINGS = ("n_best", "shortlist", "precision")
SAMPLING_SETTINGS = ("temperature", "top_k", "top_p", "seed")
