"""Translates lines from stdin: `python translate.py < input.txt`. Needs keras, sentencepiece, yaml."""

import re
import sys
from pathlib import Path

import keras
import sentencepiece
import yaml

HERE = Path(__file__).parent
tensor = keras.ops.convert_to_tensor
PAD, BOS, EOS = 0, 2, 3  # ids of <pad>, <s> and </s>
settings = yaml.safe_load((HERE / "s2s-export.yaml").read_text(encoding="utf-8"))
source, target = (
    sentencepiece.SentencePieceProcessor(str(HERE / f"{s}.model")) for s in ("source", "target")
)
encoder, decoder = (
    keras.saving.load_model(HERE / f"{name}.keras") for name in ("encoder", "decoder")
)


def search(source_ids: list[int]) -> list[int]:
    """Greedy search: the ids of one translation."""
    encoded = encoder({"source_ids": tensor([[*source_ids, EOS]], "int32")})
    limit = min(int(settings["max_length_ratio"] * len(source_ids)) + 10, settings["max_length"])
    ids = [BOS]
    while len(ids) <= limit and ids[-1] != EOS:
        outputs = decoder({"target_in_ids": tensor([ids[-1:]], "int32"), **encoded})
        ids.append(PAD + 1 + int(keras.ops.argmax(outputs["logits"][0, PAD + 1 :])))
        encoded.update((name, outputs[name]) for name in encoded if name in outputs)
    return ids[1:]


def translate(sentence: str) -> str:
    """Text to text."""
    if settings["tokenizer"] == "word":  # punctuation is a token of its own, tied by U+2040
        sentence = re.sub(
            r"(?<=\w)(?=[^\w\s])|(?<=[^\w\s])(?=\w)", " \u2040", sentence.replace("\u2040", " ")
        )
    ids = source.encode(sentence.strip())
    return (
        target.decode([i for i in search(ids) if i not in (BOS, EOS)]).replace(" \u2040", "")
        if ids
        else ""
    )


if __name__ == "__main__":
    for line in sys.stdin:
        print(translate(line))
