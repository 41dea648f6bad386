"""Numbers, URLs and addresses of both sides are compared."""

import pytest

from s2s_cli.cleaning.content import addresses_differ, numbers_differ


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("7 dogs", "8 Hunde"),
        ("from 3 to 7", "von 3 bis 8"),
        ("in 1984", "im Jahr 1985"),
        ("in 1984", "vor langer Zeit"),
        ("einst", "in 1,234 years"),
        ("page 12", "Seite 21"),
        ("1,000", "1,000,000"),
        ("12 men", "٣١ رجلا"),
        ("at 3 pm", "um 16 Uhr"),
        ("in 1950", "in den 60ern"),
        ("30 days", "42 Tage"),
    ],
)
def test_pairs_with_different_numbers_are_found(source, target):
    assert numbers_differ(source, target) and numbers_differ(target, source)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("no number", "keine Zahl"),
        ("seven dogs", "7 Hunde"),
        ("3 dogs, two cats", "3 Hunde, 2 Katzen"),
        ("300 horses", "dreihundert Pferde"),
        ("1,000 men in 1990", "1.000 Mann 1990"),
        ("1,234,567", "1 234 567"),
        ("12,34,567", "1234567"),
        ("1'000", "1\u202f000"),
        ("3.14", "3,14"),
        ("in 1990 200 people died", "1990 starben 200 Leute"),
        ("on day 12 300 people came", "300 Leute kamen am Tag 12"),
        ("No. 007", "Nr. 7"),
        ("1984", "١٩٨٤"),
        ("25", "२५"),
        ("at 3:30 p.m.", "um 15:30 Uhr"),
        ("at 12 a.m.", "um 0 Uhr"),
        ("in the 1950s", "in den 50ern"),
        ("call 932-8647", "ruf 932-86-47 an"),
        ("155 cm", "1 m 55"),
        ("30,000 people", "3万人"),
        ("3 million", "300万"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_numbers_that_are_written_differently_are_no_difference(source, target):
    assert not numbers_differ(source, target) and not numbers_differ(target, source)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("see http://a.org/x", "siehe dort"),
        ("see http://a.org/x", "siehe http://a.org/y"),
        ("WWW.A.ORG", "www.b.org"),
        ("mail me@a.org", "Mail an you@a.org"),
        ("mail me@a.org", "eine Mail"),
    ],
)
def test_pairs_with_different_addresses_are_found(source, target):
    assert addresses_differ(source, target) and addresses_differ(target, source)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("see http://a.org/x.", "siehe (http://a.org/x)!"),
        ("HTTP://A.org/", "https://www.a.org"),
        ("请访问http://a.org/x。谢谢", "visit http://a.org/x"),
        ("me@a.org and you@b.org", "You@b.org, me@a.org."),
        ("3 pounds @ 5", "3 Pfund zu 5"),
        ("the www. of it", "das Netz"),
        ("a: b // c", "d"),
    ],
)
def test_addresses_that_are_written_differently_are_no_difference(source, target):
    assert not addresses_differ(source, target) and not addresses_differ(target, source)
