"""TMX, the exchange format of translation memories, https://resources.gala-global.org/tbx14b.

A file is read element by element, so that its size does not matter. A DOCTYPE is not followed, nothing
is loaded from elsewhere, and entities that a file declares are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from lxml import etree

from s2s_cli.config.schema import Files
from s2s_cli.text.lines import Reading
from s2s_cli.text.rows import (
    BAD_RECORD,
    NO_PAIRS,
    UNREADABLE,
    Problem,
    Record,
    Row,
    file_row,
    place_of,
    row_of,
)

UNIT = "unit"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
# Elements whose text is a code of formatting and no text of the sentence.
_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})


@dataclass
class _Languages:
    """The languages of source and target, and those that were seen."""

    wanted: tuple[str, str] | None
    header: str | None = None
    seen: dict[str, None] = field(default_factory=dict)

    def choose(self, found: list[str]) -> tuple[str, str] | None:
        """The languages, which the first unit decides where the config does not."""
        if self.wanted is None and found:
            source = _without_region(self.header or found[0])
            others = [name for name in map(_without_region, found) if name != source]
            if others:
                self.wanted = (source, others[0])
        return self.wanted


def tmx_rows(file: BinaryIO, files: Files, index: int, reading: Reading) -> Iterator[Row]:
    """The rows of a TMX `path`: its units, numbered from 1."""
    path = files.path
    assert path is not None
    languages = _Languages(None if files.languages is None else (*files.languages,))  # type: ignore[arg-type]
    number, has_pair = 0, False
    for unit in _units(file, path, languages):
        number += 1
        texts = _texts(unit)
        languages.seen.update(dict.fromkeys(texts))
        wanted = languages.choose(list(texts))
        source, target = _sides(texts, wanted)
        has_pair = has_pair or (source is not None and target is not None)
        if number == 1 and wanted is not None:
            reading.read_as[path] = f"TMX: from {wanted[0]} to {wanted[1]}"
        yield _row(number, source, target, files, index)
    if number and not has_pair:
        yield file_row(_no_pairs(path, languages), number)


def _row(number: int, source: Any, target: Any, files: Files, index: int) -> Row:
    path = str(files.path)
    try:
        texts = [None if side is None else _text(side, files) for side in (source, target)]
    except _EntityError as error:
        message = f"the entity {error.args[0]} is not one of XML's own, and none other is read."
        problem = Problem(BAD_RECORD, place_of(path, number, UNIT), message, "", error.args[0])
        return Row(number, (), None, (problem,), UNIT)
    return row_of(Record(number, *texts), path, index, UNIT)


def _units(file: BinaryIO, path: str, languages: _Languages) -> Iterator[Any]:
    """Each `tu` element; it is gone when the next one is asked for."""
    events = etree.iterparse(
        file,
        events=("start", "end"),
        tag=("{*}tmx", "{*}header", "{*}body", "{*}tu"),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for event, element in events:
            name = etree.QName(element).localname
            if event == "start" and name == "tmx":
                _refuse_entities(element, path)
            elif event == "start" and name == "header":
                source = element.get("srclang")
                languages.header = None if source in (None, "*all*") else source
            elif event == "end" and name == "tu":
                yield element
                # The units before this one are held by the element around them.
                parent = element.getparent()
                element.clear(keep_tail=False)
                if parent is not None:
                    del parent[: parent.index(element)]
    except etree.XMLSyntaxError as error:
        place = f"{path}:{error.lineno}" if error.lineno else path
        message = f"this is not well-formed XML: {error.msg}."
        raise Problem(UNREADABLE, place, message).error() from None


def _refuse_entities(root: Any, path: str) -> None:
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and next(iter(declared.iterentities()), None) is not None:
        hint = "Replace them by their text, and remove the declarations from the DOCTYPE."
        message = "it declares entities, which are not read."
        raise Problem(UNREADABLE, path, message, hint).error()


def _texts(unit: Any) -> dict[str, Any]:
    """The `seg` element of each language, the first of each."""
    found: dict[str, Any] = {}
    for variant in unit.iterchildren("{*}tuv"):
        language = variant.get(_LANGUAGE) or variant.get("lang") or ""
        segment = next(variant.iterchildren("{*}seg"), None)
        if segment is not None:
            found.setdefault(language, segment)
    return found


def _sides(texts: dict[str, Any], wanted: tuple[str, str] | None) -> tuple[Any, Any]:
    """The segments of source and target, None where the unit has none."""
    if wanted is None:
        return next(iter(texts.values()), None), None
    names = [_closest(list(texts), language) for language in wanted]
    source, target = (None if name is None else texts[name] for name in names)
    return source, target


def _closest(languages: list[str], wanted: str) -> str | None:
    """The language that is `wanted`, or else the first of its regions: en-GB for en."""
    code = _normal(wanted)
    exact = next((one for one in languages if _normal(one) == code), None)
    regions = (one for one in languages if _normal(one).startswith(f"{code}-"))
    return exact or next(regions, None)


def _without_region(language: str) -> str:
    return _normal(language).partition("-")[0]


def _normal(language: str) -> str:
    return language.replace("_", "-").casefold()


class _EntityError(ValueError):
    """An entity in a text that stands for a text which is not known."""


def _text(segment: Any, files: Files) -> str:
    """The text of a segment, with the codes of formatting left out or kept as text."""
    if not len(segment):
        return segment.text or ""
    parts = [segment.text or ""]
    for child in segment.iterchildren():
        if child.tag is etree.Entity:
            raise _EntityError(child.text)
        if files.inline_tags == "keep" or etree.QName(child).localname not in _CODES:
            parts.append(_text(child, files))
        parts.append(child.tail or "")
    return "".join(parts)


def _no_pairs(path: str, languages: _Languages) -> Problem:
    seen = ", ".join(languages.seen) or "none"
    if languages.wanted is None:
        message = f"no unit has two languages; those of all units are {seen}."
    else:
        source, target = languages.wanted
        message = f"no unit has both {source} and {target}; the languages of its units are {seen}."
    return Problem(NO_PAIRS, path, message, "Name two of them with `languages: [SOURCE, TARGET]`.")
