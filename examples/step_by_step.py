"""Translates one sentence with the encoder and the decoder of a run, one token at a time.

`step_by_step.py runs/quickstart "Friday, May 3, 2024"` shows what a search does: the encoder is
called once, the decoder once a token, and its cache goes from step to step. Each line is a
token of the translation, its probability, and the source token that has the most attention.
"""

import sys
from pathlib import Path

from s2s_cli import runtime
from s2s_cli.runs.run import Run
from s2s_cli.text.padding import source_ids
from s2s_cli.text.tokenizer import BOS, EOS


def main(directory: str, sentence: str) -> None:
    """Prints the translation token by token."""
    runtime.start()  # imports TensorFlow and Keras without their messages
    from keras import ops

    from s2s_cli.decoding.loading import load_model
    from s2s_cli.decoding.translator import load_tokenizers

    run = Run(Path(directory))
    config, checkpoint = run.config(), run.find_checkpoint("best")
    tokenizers, models = load_tokenizers(run, config, checkpoint), load_model(run)
    source_tokens, target_tokens = tokenizers.source.tokens(), tokenizers.target.tokens()
    (ids,) = tokenizers.source.encode([sentence])
    # What stays (memory, its mask, attention keys), and the cache, which each token changes.
    values = models.encoder({"source_ids": source_ids([ids])})
    last = BOS
    for _ in range(config.decoding.max_length):
        last_ids = ops.convert_to_tensor([[last]], "int32")
        outputs = models.decoder({"target_in_ids": last_ids, **values})
        values = {name: outputs.get(name, value) for name, value in values.items()}
        probabilities = ops.convert_to_numpy(ops.softmax(outputs["logits"]))[0]
        last = int(probabilities[1:].argmax()) + 1  # 0 is padding
        line = f"{target_tokens[last]:<12} {probabilities[last]:.3f}"
        if "attention" in outputs:
            position = int(ops.argmax(outputs["attention"][0]))
            line += f"  {source_tokens[[*ids, EOS][position]]}"
        print(line)
        if last == EOS:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
