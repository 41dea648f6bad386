"""Clean pairs made by chance, and twenty and more kinds of dirt to plant among pairs."""

import random

WORDS = [
    ("dog", "Hund"), ("man", "Mann"), ("woman", "Frau"), ("child", "Kind"), ("street", "Straße"),
    ("house", "Haus"), ("river", "Fluß"), ("market", "Markt"), ("ladder", "Leiter"), ("window",
    "Fenster"), ("bicycle", "Fahrrad"), ("garden", "Garten"), ("red", "rote"), ("small", "kleine"),
    ("old", "alte"), ("young", "junge"), ("runs", "läuft"), ("stands", "steht"), ("sings", "singt"),
    ("waits", "wartet"), ("looks", "schaut"), ("laughs", "lacht"), ("behind", "hinter"), ("before",
    "vor"), ("under", "unter"), ("near", "nahe"), ("with", "mit"), ("without", "ohne"), ("and", "und"),
    ("while", "während"),
]  # fmt: skip
# What real text has, and what is no dirt: as it stands in a source and in its translation.
HARMLESS = (
    ("at 3:30 pm", "um 15:30 Uhr"),
    ("1,000 people in 1984", "1.000 Leute im Jahr 1984"),
    ("300 horses", "dreihundert Pferde"),
    ("in the 1950s", "in den 50ern"),
    ("see https://a.org/x.", "siehe www.a.org/x"),
    ("mail me@a.org!", "Mail an me@a.org"),
    ("the family \U0001f468\u200d\U0001f469\u200d\U0001f466", "die Fami\u00adlie"),
    ("the poet (Пушкин)", "der Dichter (Пушкин)"),
    ("a “café”…", "ein „Café“…"),
    ("the mark \u200emark\u200e", "die Mark \u200eMark\u200e"),
)


def clean_pairs(size, seed):
    """Distinct pairs of words and their translations, one in three with something harmless."""
    chooser = random.Random(seed)
    pairs = {}
    while len(pairs) < size:
        words = chooser.choices(WORDS, k=chooser.randint(6, 14))
        words += [chooser.choice(HARMLESS)] if chooser.random() < 1 / 3 else []
        source, target = (" ".join(side) for side in zip(*words, strict=True))
        pairs[source, target] = None
    return list(pairs)


def misread(text, encoding):
    """UTF-8 read in an encoding, in which bytes without a meaning stay what they are."""
    return "".join(bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in text.encode())


def _line(*columns):
    return "\t".join(columns).encode()


# By name: the reason that is to be given, and the line made of a clean pair. A quoted word makes
# sure that the pair has a letter beyond ASCII.
KINDS = {
    "exact duplicate": ("duplicate", lambda s, t: _line(s, t)),
    "other case": ("near_duplicate", lambda s, t: _line(s.upper(), t)),
    "other punctuation": ("near_duplicate", lambda s, t: _line(f"“{s}”!", f"{t} …")),
    "other spaces": ("near_duplicate", lambda s, t: _line(s.replace(" ", "  "), t)),
    "empty source": ("empty_side", lambda s, t: _line("", t)),
    "empty target": ("empty_side", lambda s, t: _line(s, " ")),
    "empty line": ("empty_side", lambda s, t: b""),
    "Latin-1 bytes": ("invalid_utf8", lambda s, t: _line(s, t) + " schön".encode("latin-1")),
    "U+FFFD": ("replacement_character", lambda s, t: _line(s, t + " sch\ufffdn")),
    "UTF-8 read as Windows-1252": (
        "mojibake", lambda s, t: _line(s, misread(t + " schön", "cp1252"))),
    "UTF-8 read as Latin-1": ("mojibake", lambda s, t: _line(s, misread(t + " – „ja“", "latin-1"))),
    "control character": ("control", lambda s, t: _line(s.replace(" ", " \x07", 1), t)),
    "zero-width space": ("control", lambda s, t: _line(s, t.replace(" ", " \u200b", 1))),
    "noncharacter": ("control", lambda s, t: _line(s, t + " \ufdd0")),
    "too long": ("too_long", lambda s, t: _line(f"{s} " * (1000 // len(s) + 1), f"{t} " * 40)),
    "untranslated": ("identical", lambda s, t: _line(f"{s} so", f"{s} so")),
    "untranslated but for case": ("identical", lambda s, t: _line(f"{t} so", f"{t.upper()} SO.")),
    "wrong script": ("script", lambda s, t: _line(s, "Это предложение написано по-русски, вот так")),
    "target repeated": ("uneven", lambda s, t: _line(s, " ".join([t] * 8))),
    "target cut off": ("uneven", lambda s, t: _line(f"{s} and {s} and {s} and {s}", t[:5])),
    "URL missing": ("urls", lambda s, t: _line(f"{s} http://b.org/y", t)),
    "other URL": ("urls", lambda s, t: _line(f"{s} www.b.org", f"{t} www.c.org")),
    "other e-mail address": ("urls", lambda s, t: _line(f"{s} x@b.org", f"{t} y@b.org")),
    "other number": ("numbers", lambda s, t: _line(f"{s} 71", f"{t} 46")),
    "number missing": ("numbers", lambda s, t: _line(f"the 18,437 of it {s}", t)),
    "no tab": ("missing_column", lambda s, t: s.encode()),
    "no weight": ("bad_weight", lambda s, t: _line(s, t, "good")),
}  # fmt: skip


def plant(pairs, each, seed):
    """Lines of a TSV: the pairs in order, and `each` dirty lines of every kind, at random places.

    Also the kind of every dirty line, by its number, counted from 1.
    """
    chooser = random.Random(seed)
    planted = [(kind, chooser.randrange(len(pairs))) for kind in KINDS for _ in range(each)]
    behind = {}
    for kind, index in planted:
        behind.setdefault(index, []).append(kind)
    lines, dirty = [], {}
    for index, (source, target) in enumerate(pairs):
        lines.append(_line(source, target))
        for kind in behind.get(index, ()):
            if kind == "number missing":
                target = "".join(c for c in target if not c.isdigit())
            lines.append(KINDS[kind][1](source, target))
            dirty[len(lines)] = kind
    return lines, dirty
