"""Names of languages, and which of some languages a text is in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from s2s_cli.serving.requests import RefusedError


def language_name(code: str) -> str:
    """The English name of a language, such as German for de; the code where it has none."""
    from babel import Locale, UnknownLocaleError

    try:
        return str(Locale.parse(code, sep="-").english_name or code)
    except (UnknownLocaleError, ValueError):
        return code


def can_detect(languages: Sequence[str]) -> bool:
    """Whether `detect` tells these languages apart; the first call loads what it needs."""
    return len(languages) == 1 or _identifier(tuple(languages)) is not None


def detect(text: str, languages: Sequence[str]) -> dict[str, Any]:
    """{"language": one of these, "confidence": 0 to 100}; the only one there is needs no text."""
    if len(languages) == 1:
        return {"language": languages[0], "confidence": 100.0}
    identifier = _identifier(tuple(languages))
    if identifier is None:
        raise RefusedError(400, "The language of a text is not found out here; name it as source.")
    found, probability = identifier.classify(text)
    chosen = next(code for code in languages if code.partition("-")[0] == found)
    return {"language": chosen, "confidence": round(100 * float(probability), 1)}


@functools.lru_cache
def _identifier(languages: tuple[str, ...]) -> Any:
    """Tells these languages apart; None where it does not know one of them."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    codes = [code.partition("-")[0] for code in languages]
    if not set(codes) <= set(identifier.labels):
        return None
    identifier.set_languages(codes)
    return identifier
