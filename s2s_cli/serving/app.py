"""The routes of a server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from s2s_cli import __version__
from s2s_cli.decoding.translation import Translation
from s2s_cli.serving import Limits
from s2s_cli.serving.batching import Batcher, Queue, QueueIsFullError
from s2s_cli.serving.languages import detect, language_name
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


@dataclass(frozen=True)
class _Served:
    """The batchers of a model."""

    best: Batcher
    n_best: Batcher | None


class Service:
    """The models of a server, by language pair."""

    def __init__(self, models: Sequence[Model], limits: Limits, keys: Sequence[str]):
        self.limits, self.keys, self.metrics = limits, keys, Metrics()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._queue = Queue(limits.queue)
        self.metrics.queue.set_function(lambda: self._queue.size)
        self._served = {
            (model.place.source, model.place.target): _Served(
                self._batcher(model.best),
                self._batcher(model.n_best) if model.n_best else None,
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

    def sources(self) -> list[str]:
        """The languages that are translated from."""
        return list(dict.fromkeys(source for source, _ in self._served))

    async def translate(self, given: TranslateRequest) -> dict[str, Any]:
        """As LibreTranslate's `/translate`, with scores and alignments where they are wanted."""
        if given.format != "text":
            raise RefusedError(400, "format: only text is translated; html is not.")
        if given.alternatives > self.limits.alternatives:
            raise RefusedError(
                400, f"alternatives: at most {self.limits.alternatives} are given here."
            )
        texts = given.texts
        require_within(texts, self.limits)
        detected = [detect(text, self.sources()) for text in texts] if _is_auto(given) else []
        sources = [str(one["language"]) for one in detected] or [given.source] * len(texts)
        found = await asyncio.gather(
            *(
                self._translate_text(text, (source, given.target), given)
                for text, source in zip(texts, sources, strict=True)
            )
        )
        answer = {name: [one[name] for one in found] for name in (found[0] if found else {})}
        if not found:
            answer = {"translatedText": []}
        if detected:
            answer["detectedLanguage"] = detected
        if isinstance(given.q, str):
            return {name: values[0] for name, values in answer.items()}
        return answer

    async def _translate_text(
        self, text: str, pair: Pair, given: TranslateRequest
    ) -> dict[str, Any]:
        """What becomes of a text, line by line."""
        served = self._served.get(pair)
        if served is None:
            pairs = ", ".join(f"{source} to {target}" for source, target in self._served)
            raise RefusedError(400, f"There is no model from {pair[0]} to {pair[1]}; only {pairs}.")
        lines = text.split("\n")
        try:
            best = [n_best[0] for n_best in await served.best.translate(lines)]
            answer: dict[str, Any] = {"translatedText": "\n".join(one.text for one in best)}
            if given.alternatives:
                several = await served.n_best.translate(lines) if served.n_best else []
                answer["alternatives"] = _alternatives(
                    answer["translatedText"], several, given.alternatives
                )
        except QueueIsFullError:
            message = f"{self.limits.queue} lines wait already; try again."
            raise RefusedError(503, message, {"Retry-After": RETRY_SECONDS}) from None
        self.metrics.sentences.labels(*pair).inc(len(lines))
        if given.scores:
            answer["scores"] = [one.score for one in best]
        if given.alignments:
            answer["alignments"] = [_alignment(one) for one in best]
        return answer


def _is_auto(given: TranslateRequest) -> bool:
    return given.source == "auto"


def _alternatives(best: str, several: Sequence[Sequence[Translation]], count: int) -> list[str]:
    """Other translations of a text: the second best of all lines, the third best, and so on."""
    most = max(map(len, several), default=0)
    texts = [
        "\n".join(n_best[min(rank, len(n_best) - 1)].text for n_best in several)
        for rank in range(most)
    ]
    return [text for text in dict.fromkeys(texts) if text != best][:count]


def _alignment(one: Translation) -> dict[str, Any]:
    return {
        "source": one.source_tokens,
        "target": one.tokens,
        "links": one.alignment,
    }


def make_app(models: Sequence[Model], limits: Limits, keys: Sequence[str] = ()) -> FastAPI:
    """The application that serves these models; they are warm already."""
    service = Service(models, limits, keys)
    app = FastAPI(
        title="s2s",
        version=__version__,
        lifespan=service.running,
        docs_url=None,
        redoc_url=None,
    )
    _add_middleware(app, service)

    @app.post("/translate", openapi_extra=_body(TranslateRequest), tags=["LibreTranslate"])
    async def translate(request: Request) -> JSONResponse:
        """Translates a text or a list of texts, line by line."""
        given = await read_request(request, TranslateRequest, limits)
        require_key(given.api_key, keys)
        began = time.perf_counter()
        answer = await _unless_left(request, service.translate(given), service.metrics)
        service.metrics.seconds.observe(time.perf_counter() - began)
        return JSONResponse(answer)

    @app.post("/detect", openapi_extra=_body(TextRequest), tags=["LibreTranslate"])
    async def find_language(request: Request) -> JSONResponse:
        """Says in which of the languages that are translated from a text is."""
        given = await read_request(request, TextRequest, limits)
        require_key(given.api_key, keys)
        texts = [given.q] if isinstance(given.q, str) else given.q
        require_within(texts, limits)
        return JSONResponse([detect(text, service.sources()) for text in texts[:1]])

    @app.get("/languages", tags=["LibreTranslate"])
    async def languages() -> JSONResponse:
        """The languages, and what each is translated to."""
        return JSONResponse(service.languages())

    @app.get("/health", tags=["Operation"])
    async def health() -> JSONResponse:
        """Answers once the models are warm."""
        return JSONResponse({"status": "ok"})

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
        try:
            response = await go_on(request)
        except RefusedError as refused:
            response = _refusal(refused)
        known = {getattr(route, "path", "") for route in app.routes}
        path = request.url.path if request.url.path in known else "other"
        service.metrics.requests.labels(path, response.status_code).inc()
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, refused: RefusedError) -> JSONResponse:
        return _refusal(refused)

    @app.exception_handler(404)
    async def missing(request: Request, error: Exception) -> JSONResponse:
        return _refusal(RefusedError(404, "There is nothing here; /docs says what there is."))

    @app.exception_handler(405)
    async def not_allowed(request: Request, error: Exception) -> JSONResponse:
        return _refusal(RefusedError(405, f"{request.method} is not answered here; see /docs."))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        # What was to be translated is in no message.
        return _refusal(RefusedError(500, f"This failed: {type(error).__name__}."))


def _refusal(refused: RefusedError) -> JSONResponse:
    return JSONResponse({"error": refused.message}, refused.status, headers=refused.headers)
