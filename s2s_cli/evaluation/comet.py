"""COMET, a metric that is itself a neural model, where its package is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.evaluation.inputs import EvaluationSet
from s2s_cli.evaluation.metrics import Score

# Its releases up to 2.2.7 ask for numpy<2 and protobuf<5, though they work with newer ones
# (https://github.com/Unbabel/COMET/issues/268). So it cannot be an extra of this distribution.
_INSTALL = (
    "pip install torch transformers pytorch-lightning torchmetrics entmax jsonargparse pandas scipy"
    " && pip install --no-deps unbabel-comet"
)
_BATCH_SIZE = 8


class Comet:
    """A COMET model (https://aclanthology.org/2020.emnlp-main.213), run on the processor.

    `model` is a name on the Hugging Face Hub, such as Unbabel/wmt22-comet-da, which is downloaded
    when it is first used, or a checkpoint file. Raises ConfigError where the package is not
    installed, S2SError where the model cannot be loaded.
    """

    def __init__(self, model: str):
        try:
            import comet
        except ImportError:
            raise ConfigError(
                "--comet needs the package unbabel-comet, which is not installed.", _INSTALL
            ) from None
        self._name = model
        try:
            path = model if Path(model).is_file() else comet.download_model(model)
            self._model: Any = comet.load_from_checkpoint(path)
        except Exception as error:  # whatever the hub, the network or PyTorch raise
            raise S2SError(
                f"--comet {model}: the model cannot be loaded: {error}.",
                "Name one of https://huggingface.co/Unbabel, or a checkpoint file.",
            ) from None

    def __call__(self, translations: Sequence[str], test_set: EvaluationSet) -> Score:
        """The score of a corpus against its first reference, as the model gives it."""
        assert test_set.sources is not None
        rows = zip(test_set.sources, translations, test_set.references[0], strict=True)
        data = [{"src": source, "mt": text, "ref": reference} for source, text, reference in rows]
        found = self._model.predict(data, batch_size=_BATCH_SIZE, gpus=0)
        return Score("comet", float(found.system_score), f"model:{self._name}")
