import random

from s2s_cli.checks.repeats import SeenTexts


def test_texts_are_seen_again_in_any_chunks():
    chooser = random.Random(2)
    texts = [str(chooser.randrange(400)) for _ in range(1_000)]
    seen, found, known = SeenTexts(), [], set()
    while len(found) < len(texts):
        found += seen.add(texts[len(found) : len(found) + chooser.randint(1, 60)]).tolist()
    expected = [text in known or known.add(text) is not None for text in texts]
    assert found == expected
    assert seen.contains(["0", "400", "nothing"]).tolist() == ["0" in known, False, False]
