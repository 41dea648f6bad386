"""Searches with CTranslate2, all sources of a call as one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2
import sentencepiece

EOS = 3


class Runner:
    """The best translation of token ids, by the search of CTranslate2."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._settings = settings
        self._translator = ctranslate2.Translator(str(folder / "ctranslate2"), device="cpu")
        self._source, target = (
            sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
            for side in ("source", "target")
        )
        size = target.get_piece_size()
        self._target_ids = {target.id_to_piece(index): index for index in range(size)}

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        settings, limits = self._settings, [self._limit(source) for source in sources]
        if len(sources) > 1 and settings["min_length"] > min(limits):
            return [ids for source in sources for ids in self.search([source])]
        found = self._translator.translate_batch(
            [[self._source.id_to_piece(i) for i in [*source, EOS]] for source in sources],
            beam_size=settings["beam_size"],
            length_penalty=settings["length_penalty"],
            no_repeat_ngram_size=settings["no_repeat_ngram_size"],
            disable_unk=settings["unknown"] == "suppress",
            min_decoding_length=min(settings["min_length"], max(limits)),
            max_decoding_length=max(limits),
            max_input_length=0,
            return_end_token=True,
        )
        return [
            [self._target_ids[token] for token in one.hypotheses[0]][:limit]
            for one, limit in zip(found, limits, strict=True)
        ]

    def _limit(self, source: list[int]) -> int:
        """The most tokens that a translation may have."""
        limit = int(self._settings["max_length_ratio"] * len(source)) + 10
        return min(limit, self._settings["max_length"])
