"""The server answers as LibreTranslate does; every refusal is a sentence under `error`."""

import dataclasses
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import ConfigError
from s2s_cli.serving import Limits
from s2s_cli.serving import app as app_module
from s2s_cli.serving.app import make_app
from s2s_cli.serving.models import Model
from s2s_cli.serving.places import Place, read_places

PAGE = Path(app_module.__file__).parent / "page"


def model(source: str, target: str, *, wait=lambda: None, n_best: int = 3) -> Model:
    """A model whose translation is the text in capitals, after its target language."""

    def best(sentences) -> list[list[Translation]]:
        wait()
        if "fail" in sentences:
            raise ValueError("a text that no message may show")
        return [[translation(sentence)] for sentence in sentences]

    def translation(sentence: str, rank: int = 0) -> Translation:
        words = tuple(sentence.split())
        text = f"{target}{rank or ''}:{sentence.upper()}"
        links = tuple((index, index) for index in range(len(words)))
        upper = tuple(map(str.upper, words))
        return Translation(text, -1.5, source_tokens=words, tokens=upper, alignment=links)

    def several(sentences) -> list[list[Translation]]:
        return [[translation(one, rank) for rank in range(n_best)] for one in sentences]

    return Model(Place(source, target, "path"), best, several if n_best else None)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Limits(characters=100, sentences=5, body_bytes=2000, alternatives=2)
    app = make_app([model("en", "de"), model("de", "en", n_best=0)], limits)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def ask(client: TestClient, **values) -> dict:
    response = client.post("/translate", json={"source": "en", "target": "de", **values})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_text_and_a_list_are_translated_line_by_line(client):
    assert ask(client, q="a b") == {"translatedText": "de:A B"}
    assert ask(client, q="a\n\nb\n")["translatedText"] == "de:A\nde:\nde:B\nde:"
    assert ask(client, q=["a", "b"]) == {"translatedText": ["de:A", "de:B"]}
    assert ask(client, q=[]) == {"translatedText": []}
    assert ask(client, q="x", source="de", target="en")["translatedText"] == "en:X"


def test_a_form_is_answered_as_json_is(client):
    form = client.post("/translate", data={"q": "a b", "source": "en", "target": "de"})
    assert form.json() == ask(client, q="a b")
    several = "q=a&q=b&source=en&target=de&alternatives=1"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    found = client.post("/translate", content=several, headers=headers).json()
    assert found == ask(client, q=["a", "b"], alternatives=1)


def test_a_form_in_parts_and_a_query_are_read_too(client):
    parts = {
        name: (None, value) for name, value in (("q", "é b"), ("source", "en"), ("format", ""))
    }
    found = client.post("/translate?target=de", files=parts)
    assert found.json() == {"translatedText": "de:É B"}


def test_white_space_around_lines_stays(client):
    assert ask(client, q="  a\r\n\tb \n")["translatedText"] == "  de:A\r\n\tde:B \nde:"


def test_alternatives_scores_and_alignments_are_given_on_request(client):
    found = ask(client, q=["a b\nc", "d"], alternatives=2, scores=True, alignments=True)
    assert found["alternatives"] == [["de1:A B\nde1:C", "de2:A B\nde2:C"], ["de1:D", "de2:D"]]
    assert found["scores"] == [[-1.5, -1.5], [-1.5]]
    first = {"source": ["a", "b"], "target": ["A", "B"], "links": [[0, 0], [1, 1]]}
    assert found["alignments"][0][0] == first
    assert ask(client, q="a", source="de", target="en", alternatives=2)["alternatives"] == []


def test_the_language_is_found_where_it_is_not_named(client):
    text = "Das ist ein ganz gewöhnlicher deutscher Satz."
    found = ask(client, q=text, source="auto", target="en")
    assert found["translatedText"] == f"en:{text.upper()}"
    assert found["detectedLanguage"]["language"] == "de"
    assert found["detectedLanguage"]["confidence"] > 90
    detected = client.post("/detect", data={"q": "This is plain English text."}).json()
    assert [one["language"] for one in detected] == ["en"]


def test_the_language_is_sought_among_those_with_the_target(client):
    text = "This is plain English text."
    found = ask(client, q=text, source="auto", target="en")
    assert found["detectedLanguage"] == {"language": "de", "confidence": 100.0}
    assert client.post("/detect", json={"q": []}).json() == {
        "error": "q: there is no text in the list."
    }


def test_the_page_learns_what_it_may_ask_for(client):
    found = client.get("/frontend/settings").json()
    assert (found["alternatives"], found["charLimit"], found["keyRequired"]) == (2, 100, False)


def test_the_languages_are_listed_as_libretranslate_does(client):
    assert client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de"]},
        {"code": "de", "name": "German", "targets": ["en"]},
    ]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"source": "fr"}, 400, "There is no model from fr to de; only en to de, de to en."),
        ({"target": None}, 400, "target: Input should be a valid string."),
        ({"q": 5}, 400, "q: Input should be a valid string."),
        ({"format": "html"}, 400, "format: only text is translated; html is not."),
        ({"alternatives": 3}, 400, "alternatives: at most 2 are given here."),
        ({"alternatives": -1}, 400,
         "alternatives: Input should be greater than or equal to 0."),
        ({"q": "a" * 101}, 413, "A request may have 100 characters; this one has 101."),
        ({"q": ["a\nb", "c\n\n\nd"]}, 413, "A request may have 5 lines; this one has 6."),
        ({"q": "a" * 2000}, 413, "A request may have 2000 bytes."),
        ({"q": "fail"}, 500, "This failed: ValueError."),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(client, change, status, message):
    values = {"q": "a", "source": "en", "target": "de", **change}
    response = client.post("/translate", json=values)
    assert (response.status_code, response.json()) == (status, {"error": message})


def test_a_failure_is_counted_and_has_the_headers_of_any_answer(client, caplog, capsys):
    given = {"q": ["a", "fail"], "source": "en", "target": "de"}
    response = client.post("/translate", json=given)
    assert response.json() == {"error": "This failed: ValueError."}
    assert response.headers["content-security-policy"]
    counted = re.search(
        r's2s_requests_total{path="/translate",status="500"} (\d)', client.get("/metrics").text
    )
    assert int(counted[1]) >= 1
    assert "no message may show" not in caplog.text + capsys.readouterr().err


def test_one_request_takes_its_room_at_once():
    with TestClient(make_app([model("en", "de")], Limits(queue=3))) as client:
        found = client.post("/translate", json={"q": ["a"] * 9, "source": "en", "target": "de"})
        assert found.json() == {"translatedText": ["de:A"] * 9}


def test_an_artefact_has_no_scores():
    plain = dataclasses.replace(model("en", "de"), has_details=False)
    with TestClient(make_app([plain], Limits())) as client:
        given = {"q": "a", "source": "en", "target": "de"}
        refused = client.post("/translate", json={**given, "scores": True})
        assert refused.json() == {
            "error": "scores and alignments: this model is an artefact, which has none."
        }
        assert client.post("/translate", json=given).status_code == 200


def test_paths_and_methods_that_there_are_not_are_named(client):
    assert client.get("/no").json() == {"error": "There is nothing here; /docs says what there is."}
    refused = client.put("/translate")
    assert refused.status_code == 405
    assert refused.json() == {"error": "PUT is not answered here; see /docs."}
    body = client.post("/translate", content=b"[1]")
    assert body.json() == {"error": "The body must be a JSON object or a form."}


def test_a_key_is_wanted_where_there_are_keys():
    with TestClient(make_app([model("en", "de")], Limits(), ["kéy", "other"])) as client:
        given = {"q": "a", "source": "en", "target": "de"}
        for key, status in ((None, 403), ("wrong", 403), ("kéy", 200), ("other", 200)):
            response = client.post("/translate", json={**given, "api_key": key})
            assert response.status_code == status
        assert client.post("/translate", json=given).json() == {
            "error": "This server wants an API key."
        }
        assert client.post("/detect", data={"q": "a"}).status_code == 403
        assert client.get("/languages").status_code == 200


def test_a_full_queue_is_answered_503_and_says_when_to_come_again():
    gate = threading.Event()
    app = make_app([model("en", "de", wait=gate.wait)], Limits(queue=2, batch=1))
    with TestClient(app) as client, ThreadPoolExecutor(4) as threads:
        given = {"q": "a", "source": "en", "target": "de"}
        first = [threads.submit(client.post, "/translate", json=given) for _ in range(2)]
        while "s2s_queue_sentences 2.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.post("/translate", json=given)
        gate.set()
        assert [one.result().status_code for one in first] == [200, 200]
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json() == {"error": "2 lines wait already; try again."}
        assert client.post("/translate", json=given).status_code == 200


def test_requests_are_counted_without_their_text():
    with TestClient(make_app([model("en", "de")], Limits())) as client:
        given = {"q": "secret\ntext", "source": "en", "target": "de"}
        client.post("/translate", json=given)
        client.get("/no-such-path")
        text = client.get("/metrics").text
    assert 's2s_requests_total{path="/translate",status="200"} 1.0' in text
    assert 's2s_requests_total{path="other",status="404"} 1.0' in text
    assert 's2s_sentences_total{source="en",target="de"} 2.0' in text
    assert "s2s_batch_sentences_sum 2.0" in text
    assert "secret" not in text


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with lone surrogates
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["q", "source", "target", "format", "alternatives", "api_key", "scores"])
LANGUAGES = st.sampled_from(["en", "de", "auto"])
REQUESTS = st.dictionaries(NAMES, VALUES) | st.fixed_dictionaries(
    {"q": ANY_TEXT | st.lists(ANY_TEXT), "source": LANGUAGES, "target": LANGUAGES},
    optional={"alternatives": VALUES, "scores": VALUES, "format": VALUES},
)
PATHS = st.sampled_from(["translate", "detect"])
TYPES = st.sampled_from(["application/json", "application/x-www-form-urlencoded", "", "text/\xff"])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=200) | REQUESTS,
    media_type=TYPES,
    path=st.sampled_from(["translate", "detect"]),
)
def test_no_request_makes_the_server_fail(client, body, media_type, path):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": media_type.encode("latin-1")}
    response = client.post(f"/{path}", content=content, headers=headers)
    assert response.status_code in (200, 400, 413)
    if response.status_code != 200:
        assert list(response.json()) == ["error"]


# The pages.


def test_pages_load_nothing_from_elsewhere_and_may_not(client):
    for path in ("/", "/page.js", "/page.css", "/docs", "/docs.js"):
        response = client.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy
        found = set(re.findall(r"(?:https?:)?//[a-z][^\s\"']*", response.text))
        assert found <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<script>|\son\w+=|style=", response.text)
    assert {path.name for path in PAGE.iterdir()} == {
        "index.html", "page.js", "page.css", "docs.html", "docs.js",
    }  # fmt: skip


def test_the_description_has_the_fields_of_a_request(client):
    found = client.get("/openapi.json").json()["paths"]["/translate"]["post"]["requestBody"]
    fields = found["content"]["application/json"]["schema"]["properties"]
    assert fields.keys() >= {"q", "source", "target", "format", "alternatives", "api_key"}
    assert all(field["description"] for field in fields.values())


# Which models are served.


def test_languages_stand_before_a_model_or_in_options():
    assert read_places(["runs/a"], "en", "pt-BR") == [Place("en", "pt-BR", "runs/a")]
    assert read_places(["en-de=a=b", "zh-Hans-en=c", "en-de-AT=d"], None, None) == [
        Place("en", "de", "a=b"), Place("zh-Hans", "en", "c"), Place("en", "de-AT", "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["run"], (None, None), "run: its languages are not known."),
        (["en-de=a", "en-de=b"], (None, None), "Two models translate from en to de."),
        (["run"], ("en", None), "--source and --target say together what one model translates"),
        (["a", "b"], ("en", "de"), "--source and --target say together what one model translates"),
        (["run"], ("english", "de"), "'english' is no language code."),
        (
            ["en-pt-br=run"],
            (None, None),
            "en-pt-br=run: en-pt-br can be read as two languages in more",
        ),
    ],
)
def test_models_without_clear_languages_are_refused(given, options, message):
    with pytest.raises(ConfigError) as caught:
        read_places(given, *options)
    assert caught.value.message.startswith(message)
