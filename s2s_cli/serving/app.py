"""The routes of a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import ClientDisconnect

from s2s_cli import __version__
from s2s_cli.decoding.translation import Translation
from s2s_cli.serving import Limits
from s2s_cli.serving.batching import Batcher, Queue, QueueIsFullError
from s2s_cli.serving.languages import can_detect, detect, language_name
from s2s_cli.serving.metrics import Metrics
from s2s_cli.serving.models import Model
from s2s_cli.serving.requests import (
    RefusedError,
    TextRequest,
    TranslateRequest,
    read_request,
    require_key,
    require_within,
)

PAGE = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
RETRY_SECONDS = "1"
Pair = tuple[str, str]


class Json(JSONResponse):
    """JSON of ASCII characters: a text may hold what UTF-8 cannot, such as half of a character."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True)
class _Served:
    """The batchers of a model."""

    best: Batcher
    n_best: Batcher | None
    has_details: bool


class Service:
    """The models of a server, by language pair."""

    def __init__(self, models: Sequence[Model], limits: Limits, keys: Sequence[str]):
        self.limits, self.keys, self.metrics = limits, keys, Metrics()
        self.under_way = 0  # requests that are not yet answered
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._queue = Queue(limits.queue)
        self.metrics.queue.set_function(lambda: self._queue.size)
        self._served = {
            (model.place.source, model.place.target): _Served(
                self._batcher(model.best),
                self._batcher(model.n_best) if model.n_best else None,
                model.has_details,
            )
            for model in models
        }

    def _batcher(self, translate: Callable[..., Any]) -> Batcher:
        return Batcher(
            translate,
            self._executor,
            self._queue,
            batch=self.limits.batch,
            wait_seconds=self.limits.wait_seconds,
            on_batch=self.metrics.batches.observe,
        )

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Runs the batchers while the server is up; requests that are under way are answered first."""
        batchers = [
            one for each in self._served.values() for one in (each.best, each.n_best) if one
        ]
        tasks = [asyncio.create_task(batcher.run()) for batcher in batchers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._executor.shutdown()

    # What is answered.

    def languages(self) -> list[dict[str, Any]]:
        """As LibreTranslate's `/languages`."""
        codes = dict.fromkeys(code for pair in self._served for code in pair)
        return [
            {
                "code": code,
                "name": language_name(code),
                "targets": [target for source, target in self._served if source == code],
            }
            for code in codes
        ]

    def sources(self, target: str | None = None) -> list[str]:
        """The languages that are translated from, to a target or to any."""
        wanted = (source for source, other in self._served if target in (None, other))
        return list(dict.fromkeys(wanted))

    def settings(self) -> dict[str, Any]:
        """As LibreTranslate's `/frontend/settings`, with how many alternatives there are."""
        return {
            "apiKeys": bool(self.keys),
            "keyRequired": bool(self.keys),
            "charLimit": self.limits.characters,
            "suggestions": False,
            "filesTranslation": False,
            "supportedFilesFormat": [],
            "alternatives": self.limits.alternatives,
        }

    async def translate(self, given: TranslateRequest) -> dict[str, Any]:
        """As LibreTranslate's `/translate`, with scores and alignments where they are wanted."""
        self._require_possible(given)
        texts = given.texts
        detected = (
            [detect(text, self.sources(given.target)) for text in texts] if _is_auto(given) else []
        )
        sources = [str(one["language"]) for one in detected] or [given.source] * len(texts)
        pairs = [(source, given.target) for source in sources]
        found: list[dict[str, Any]] = [{} for _ in texts]
        for pair in dict.fromkeys(pairs):
            places = [place for place, one in enumerate(pairs) if one == pair]
            some = [texts[place] for place in places]
            answers = await self._translate_texts(some, pair, given)
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        answer = {
            name: [one[name] for one in found] for name in (found or [{"translatedText": ""}])[0]
        }
        if detected:
            answer["detectedLanguage"] = detected
        if isinstance(given.q, str):
            return {name: values[0] for name, values in answer.items()}
        return answer

    def _require_possible(self, given: TranslateRequest) -> None:
        """Raises RefusedError for what no model here does, before anything is translated."""
        if given.format not in (None, "", "text"):
            raise RefusedError(400, "format: only text is translated; html is not.")
        if given.alternatives > self.limits.alternatives:
            raise RefusedError(
                400, f"alternatives: at most {self.limits.alternatives} are given here."
            )
        require_within(given.texts, self.limits)
        if _is_auto(given) and self.sources(given.target):
            return
        if (given.source, given.target) not in self._served:
            pairs = ", ".join(f"{source} to {target}" for source, target in self._served)
            raise RefusedError(
                400, f"There is no model from {given.source} to {given.target}; only {pairs}."
            )

    async def _translate_texts(
        self, texts: Sequence[str], pair: Pair, given: TranslateRequest
    ) -> list[dict[str, Any]]:
        """What becomes of texts, line by line; all of them take their room in the queue at once."""
        served = self._served[pair]
        if (given.scores or given.alignments) and not served.has_details:
            raise RefusedError(
                400, "scores and alignments: this model is an artefact, which has none."
            )
        rows = [text.split("\n") for text in texts]
        lines = [line.strip() for row in rows for line in row]
        try:
            best = iter([n_best[0] for n_best in await served.best.translate(lines)])
            several: Any = [[] for _ in lines]
            if given.alternatives and served.n_best:
                several = await served.n_best.translate(lines)
        except QueueIsFullError:
            message = f"{self.limits.queue} lines wait already; try again."
            raise RefusedError(503, message, {"Retry-After": RETRY_SECONDS}) from None
        self.metrics.sentences.labels(*pair).inc(len(lines))
        others = iter(several)
        return [
            _answer(row, [next(best) for _ in row], [next(others) for _ in row], given)
            for row in rows
        ]


def _answer(
    lines: Sequence[str],
    best: Sequence[Translation],
    several: Sequence[Sequence[Translation]],
    given: TranslateRequest,
) -> dict[str, Any]:
    """What is said of a text with these lines."""
    text = _joined(lines, [one.text for one in best])
    answer: dict[str, Any] = {"translatedText": text}
    if given.alternatives:
        most = max(map(len, several), default=0)
        texts = (
            _joined(lines, [n_best[min(rank, len(n_best) - 1)].text for n_best in several])
            for rank in range(most)
        )
        answer["alternatives"] = [one for one in dict.fromkeys(texts) if one != text][
            : given.alternatives
        ]
    if given.scores:
        answer["scores"] = [one.score for one in best]
    if given.alignments:
        answer["alignments"] = [_alignment(one) for one in best]
    return answer


def _joined(lines: Sequence[str], translations: Sequence[str]) -> str:
    """Translations of lines as a text, with the white space that stood around each line."""
    around = []
    for line, translation in zip(lines, translations, strict=True):
        inner = line.strip()
        before, _, after = line.partition(inner) if inner else (line, "", "")
        around.append(before + translation + after)
    return "\n".join(around)


def _is_auto(given: TranslateRequest) -> bool:
    return given.source == "auto"


def _alignment(one: Translation) -> dict[str, Any]:
    return {
        "source": one.source_tokens,
        "target": one.tokens,
        "links": one.alignment,
    }


def make_app(models: Sequence[Model], limits: Limits, keys: Sequence[str] = ()) -> FastAPI:
    """The application that serves these models; they are warm already."""
    service = Service(models, limits, keys)
    for target in (None, *dict.fromkeys(model.place.target for model in models)):
        can_detect(service.sources(target))
    app = FastAPI(
        title="s2s",
        version=__version__,
        lifespan=service.running,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    _add_middleware(app, service)

    @app.post("/translate", openapi_extra=_body(TranslateRequest), tags=["LibreTranslate"])
    async def translate(request: Request) -> Json:
        """Translates a text or a list of texts, line by line."""
        given = await read_request(request, TranslateRequest, limits)
        require_key(given.api_key, keys)
        began = time.perf_counter()
        answer = await _unless_left(request, service.translate(given), service.metrics)
        service.metrics.seconds.observe(time.perf_counter() - began)
        return Json(answer)

    @app.post("/detect", openapi_extra=_body(TextRequest), tags=["LibreTranslate"])
    async def find_language(request: Request) -> Json:
        """Says in which of the languages that are translated from a text is."""
        given = await read_request(request, TextRequest, limits)
        require_key(given.api_key, keys)
        require_within(given.texts, limits)
        if not given.texts:
            raise RefusedError(400, "q: there is no text in the list.")
        return Json([detect(given.texts[0], service.sources())])

    @app.get("/frontend/settings", tags=["LibreTranslate"])
    async def settings() -> Json:
        """What the page needs to know."""
        return Json(service.settings())

    @app.get("/languages", tags=["LibreTranslate"])
    async def languages() -> Json:
        """The languages, and what each is translated to."""
        return Json(service.languages())

    @app.get("/health", tags=["Operation"])
    async def health() -> Json:
        """Answers once the models are warm."""
        return Json({"status": "ok"})

    @app.get("/metrics", tags=["Operation"])
    async def metrics() -> Response:
        """Counters, in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    for path, name in (
        ("/", "index.html"),
        ("/page.js", "page.js"),
        ("/page.css", "page.css"),
        ("/docs", "docs.html"),
        ("/docs.js", "docs.js"),
    ):
        app.add_api_route(path, _file(name), include_in_schema=False)
    return app


def _file(name: str) -> Callable[[], Awaitable[FileResponse]]:
    async def serve() -> FileResponse:
        return FileResponse(PAGE / name)

    return serve


def _body(kind: type[TextRequest]) -> dict[str, Any]:
    """The description of a body that is read by hand, as JSON and as a form."""
    schema = {"schema": kind.model_json_schema()}
    media_types = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"required": True, "content": dict.fromkeys(media_types, schema)}}


async def _unless_left(request: Request, answer: Any, metrics: Metrics) -> Any:
    """The answer, unless its client leaves before it is there: then what is left to do is dropped."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, watch = asyncio.ensure_future(answer), asyncio.ensure_future(left())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            metrics.dropped.inc()
            raise RefusedError(499, "The client has left.")
        return work.result()
    finally:
        work.cancel()
        watch.cancel()


def _add_middleware(app: FastAPI, service: Service) -> None:
    @app.middleware("http")
    async def around(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        service.under_way += 1
        try:
            response = await go_on(request)
        except ClientDisconnect:
            service.metrics.dropped.inc()
            response = _refusal(RefusedError(499, "The client has left."))
        except Exception as error:
            # Neither here nor in a log is what was to be translated.
            response = _refusal(RefusedError(500, f"This failed: {type(error).__name__}."))
        finally:
            service.under_way -= 1
        known = {getattr(route, "path", "") for route in app.routes}
        path = request.url.path if request.url.path in known else "other"
        service.metrics.requests.labels(path, response.status_code).inc()
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, refused: RefusedError) -> Json:
        return _refusal(refused)

    @app.exception_handler(404)
    async def missing(request: Request, error: Exception) -> Json:
        return _refusal(RefusedError(404, "There is nothing here; /docs says what there is."))

    @app.exception_handler(405)
    async def not_allowed(request: Request, error: Exception) -> Json:
        return _refusal(RefusedError(405, f"{request.method} is not answered here; see /docs."))


def _refusal(refused: RefusedError) -> Json:
    return Json({"error": refused.message}, refused.status, headers=refused.headers)
