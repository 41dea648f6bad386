"""Translates lines: `python translate.py < input.txt`. Needs keras, sentencepiece, pyyaml, regex."""

import sys
from pathlib import Path

import keras
import sentencepiece
import yaml

here, tensor = Path(__file__).parent, keras.ops.convert_to_tensor
sys.path.insert(0, str(here))
from marks import after_decoding, before_encoding  # noqa: E402  (beside this program)
from splitting import join_texts, split_source  # noqa: E402

settings = yaml.safe_load((here / "s2s-export.yaml").read_text(encoding="utf-8"))
encoder, decoder = (keras.saving.load_model(here / f"{m}.keras") for m in ("encoder", "decoder"))
pieces = {
    s: sentencepiece.SentencePieceProcessor(str(here / f"{s}.model")) for s in ("source", "target")
}
source_tokens = [pieces["source"].id_to_piece(i) for i in range(pieces["source"].get_piece_size())]
BOS, EOS = 2, 3  # ids of <s> and </s>; padding is 0
is_word_level = settings["tokenizer"] == "word"


def search(source_ids: list[int]) -> list[int]:
    """Greedy search: the ids of the translation of one sentence."""
    if settings["longest_source"] is not None and len(source_ids) > settings["longest_source"]:
        raise ValueError(f"{len(source_ids)} tokens; at most {settings['longest_source']} fit")
    values = encoder({"source_ids": tensor([[*source_ids, EOS]], "int32")})
    limit = min(int(settings["max_length_ratio"] * len(source_ids)) + 10, settings["max_length"])
    ids = [BOS]
    while len(ids) <= limit and ids[-1] != EOS:
        outputs = decoder({"target_in_ids": tensor([ids[-1:]], "int32"), **values})
        values = {name: outputs.get(name, value) for name, value in values.items()}
        ids.append(1 + int(keras.ops.argmax(outputs["logits"][0, 1:])))
    return ids[1:]


def translate(line: str) -> str:
    """The translation of a line; one that is too long is translated in parts, or cut off."""
    source_ids = pieces["source"].encode(before_encoding(line.strip(), is_word_level=is_word_level))
    parts = split_source(source_ids, source_tokens, settings["max_source_length"])
    if settings["long_sources"] == "truncate":
        parts = parts[:1]
    found = [search(part) for part in parts if part]
    texts = (pieces["target"].decode([i for i in ids if i > EOS or i == 1]) for ids in found)
    return join_texts(after_decoding(text, is_word_level=is_word_level) for text in texts)


if __name__ == "__main__":
    # Whatever the locale is.
    sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin:
        print(translate(line))
