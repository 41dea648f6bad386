"""Requests in the protocol of LibreTranslate, and what is refused."""

from __future__ import annotations

import email
import email.policy
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError

from s2s_cli.errors import S2SError
from s2s_cli.serving import Limits


class RefusedError(Exception):
    """A request that is answered with a status and {"error": message}."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class TextRequest(BaseModel):
    """What `/detect` takes."""

    q: str | list[str] = Field(description="A text, or a list of texts.")
    api_key: str | None = Field(None, description="Where the server wants one.")

    @property
    def texts(self) -> list[str]:
        """The texts, one or several."""
        return [self.q] if isinstance(self.q, str) else self.q


class TranslateRequest(TextRequest):
    """What `/translate` takes."""

    source: str = Field(description="ISO 639 code, or auto.")
    target: str = Field(description="ISO 639 code.")
    format: str | None = Field("text", description="text; html is refused.")
    alternatives: Annotated[int, Field(ge=0)] = Field(
        0, description="How many further translations of each text are wanted."
    )
    scores: bool = Field(False, description="Whether the score of each line is wanted.")
    alignments: bool = Field(
        False, description="Whether the tokens of each line are wanted, and which belong together."
    )


async def read_request(request: Request, kind: type[BaseModel], limits: Limits) -> Any:
    """The body of a request, JSON or a form, and its query, as `kind`. Raises RefusedError."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.body_bytes:
            raise RefusedError(413, f"A request may have {limits.body_bytes} bytes.")
    try:
        values = _read_body(bytes(body), request.headers.get("content-type", ""))
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"The body is neither JSON nor a form: {error}.") from None
    if not isinstance(values, dict):
        raise RefusedError(400, "The body must be a JSON object or a form.")
    try:
        return kind.model_validate({**_fields(request.url.query), **values})
    except ValidationError as error:
        raise RefusedError(400, _sentence(error)) from None


def _read_body(body: bytes, content_type: str) -> Any:
    """The fields of a body; some clients send JSON under the name of a form."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return _read_multipart(body, content_type)
    if media_type == "application/x-www-form-urlencoded" and body.lstrip()[:1] != b"{":
        return _fields(body.decode("utf-8"))
    return json.loads(body)


def _fields(form: str) -> dict[str, Any]:
    """The fields of a form or a query; one that is there more than once is a list."""
    fields = parse_qs(form, keep_blank_values=True, max_num_fields=10_000)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def _read_multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a form in parts."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    fields: dict[str, list[str]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name is not None and isinstance(content, bytes):
            fields.setdefault(str(name), []).append(content.decode("utf-8"))
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def _sentence(error: ValidationError) -> str:
    """What is wrong, field by field; never what was in it."""
    found: dict[str, str] = {}
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        found.setdefault(str(one["loc"][0]) if one["loc"] else "body", str(one["msg"]))
    return "; ".join(f"{name}: {message}" for name, message in found.items()) + "."


def require_within(texts: Sequence[str], limits: Limits) -> None:
    """Raises RefusedError where there are too many characters or lines."""
    characters, lines = sum(map(len, texts)), sum(text.count("\n") + 1 for text in texts)
    for count, limit, name in (
        (characters, limits.characters, "characters"),
        (lines, limits.sentences, "lines"),
    ):
        if count > limit:
            raise RefusedError(413, f"A request may have {limit} {name}; this one has {count}.")


def read_keys(path: Path) -> list[str]:
    """The API keys of a file, one a line. Raises S2SError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise S2SError(f"{path}: the keys cannot be read: {error}.") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise S2SError(f"{path}: there is no key in it.", "Write one a line.")
    return keys


def require_key(given: str | None, keys: Sequence[str]) -> None:
    """Raises RefusedError where keys are needed and this is none; takes the same time for each."""
    if not keys:
        return
    tried = (given or "").encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(tried, key.encode()) for key in keys]
    if not any(matches):
        raise RefusedError(
            403, "This server wants an API key." if given is None else "This API key is not valid."
        )
