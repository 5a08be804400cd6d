"""The HTTP interface: routes, limits and error answers, each error one sentence in JSON."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from dlnotes_cli import __version__
from dlnotes_cli.inference.predictions import Prediction
from dlnotes_cli.serve.service import PredictionService
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError

_MOST_IMAGES = 256  # in one request
_SHOWN_PATH = 80  # characters of a path in the log
_FORM, _JSON, _BINARY = "multipart/form-data", "application/json", "application/octet-stream"
_BODY = {"body", "rows"}  # where errors of a request are, other than an image in it
_BAD_REQUEST, _TOO_LARGE, _UNSUPPORTED, _UNPROCESSABLE, _BUG, _STOPPING = 400, 413, 415, 422, 500, 503
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of JPEG and PNG, whatever the content type says

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_FILE = {"type": "string", "format": "binary"}
_FILES = {"type": "object", "properties": {"file": {"type": "array", "items": _FILE}}}
_ROWS = {
    "type": "object", "properties": {"rows": {"type": "array", "items": {"type": "object"}}}, "required": ["rows"],
}  # fmt: skip
_REQUEST_BODY = {
    "required": True,
    "content": {_FORM: {"schema": _FILES}, _BINARY: {"schema": _FILE}, _JSON: {"schema": _ROWS}},
}
_PREDICTION = {"item": "a.png", "class": "4", "probability": 0.9, "top": [{"class": "4", "probability": 0.9}]}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The most probable classes of each image or row, in the order of the request",
        "content": {_JSON: {"example": {"predictions": [_PREDICTION]}}},
    },
    "4XX": {
        "description": "The request cannot be answered",
        "content": {_JSON: {"example": {"error": "a.png: not an image"}}},
    },
}


class LoggedApp:
    """An application that prints one line for each request: method, path, status and latency."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app
        self.unanswered = 0  # requests that were still running when the server had to end

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noting_send(message: _Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:
            self.unanswered += 1
            if status:
                raise
            await _error(_STOPPING, "the server stops")(scope, receive, noting_send)
        finally:
            path = output.printable(scope["path"][:_SHOWN_PATH])
            seconds = time.perf_counter() - started
            output.status(f"{scope['method']} {path}", f"{status or _BUG}, {1000 * seconds:.1f} ms")


def make_app(service: PredictionService, workers: Executor, max_bytes: int) -> LoggedApp:
    """The application, for one event loop; `workers` decode images and run the model, a request each."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the answer says what it logs
    app = FastAPI(title="dlnotes", version=__version__, description="Predictions of a trained classifier.")

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="The model that answers")
    async def health() -> dict[str, Any]:
        return service.health()

    @app.post(
        "/predict", summary="Classify images or table rows", openapi_extra={"requestBody": _REQUEST_BODY},
        responses=_ANSWER,
    )  # fmt: skip
    async def predict(request: Request) -> JSONResponse:
        answer = await _answer(request, await _body(request, max_bytes), service)
        predictions = await asyncio.get_running_loop().run_in_executor(workers, answer)
        return JSONResponse({"predictions": to_json(predictions)})

    @app.exception_handler(InputError)
    async def bad_input(_request: Request, error: InputError) -> JSONResponse:
        return _error(_UNPROCESSABLE if error.where in _BODY else _BAD_REQUEST, error.fault)

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        return _error(error.status_code, phrase.lower() if error.detail == phrase else error.detail)

    @app.exception_handler(Exception)
    async def bug(_request: Request, error: Exception) -> JSONResponse:
        lines = "".join(traceback.format_exception(error)).splitlines()
        output.bug("\n".join(map(output.printable, lines)))
        return _error(_BUG, "the server failed, as its log says")

    return LoggedApp(app)


async def _body(request: Request, max_bytes: int) -> bytes:
    """The body of a request. Raises HTTPException for one of more than `max_bytes`, and for one that ends early."""
    stated, body = request.headers.get("content-length", ""), bytearray()
    too_large = HTTPException(_TOO_LARGE, f"the request is larger than {output.size(max_bytes)}")
    if stated.isdigit() and int(stated) > max_bytes:
        raise too_large
    try:
        async for part in request.stream():
            body += part
            if len(body) > max_bytes:
                raise too_large
    except ClientDisconnect as error:
        what = "the client closed the connection before the end of its request"
        raise HTTPException(_BAD_REQUEST, what) from error
    return bytes(body)


async def _answer(request: Request, body: bytes, service: PredictionService) -> Callable[[], list[Prediction]]:
    """The function that answers a request. Raises HTTPException and InputError."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == _FORM:
        uploads = await _form_files(request, body)
    elif body.startswith(_IMAGE_STARTS) or content_type == _BINARY or content_type.startswith("image/"):
        uploads = [("image", body)]
    elif content_type == _JSON:
        return lambda: service.predict_rows(_parsed(body))
    else:
        what = f"content type {content_type or 'missing'}: send {_FORM} with image files, one image, or {_JSON}"
        raise HTTPException(_UNSUPPORTED, what)
    if not uploads:
        raise InputError("body", "has no image", "send at least one form file")
    return lambda: service.predict_images(uploads)


class _FormParser(MultiPartParser):
    """A parser of forms that notes whether it has seen the end."""

    has_end = False

    def on_end(self) -> None:
        """Note the end of the form."""
        self.has_end = True


async def _form_files(request: Request, body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each file of a form. Raises HTTPException and InputError."""

    async def content() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _FormParser(request.headers, content(), max_files=_MOST_IMAGES, max_fields=_MOST_IMAGES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        what = error.message.lower().rstrip(".").replace(". ", "; ")
        raise HTTPException(_BAD_REQUEST, f"body: {what}") from error
    uploads = []
    try:
        if not parser.has_end:
            raise HTTPException(_BAD_REQUEST, "body: is cut short: the form has no end")
        for field, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise InputError("body", f"the form field {field!r:.80} is not a file", "send image files alone")
            uploads.append((output.printable(value.filename or field), await value.read()))
    finally:
        await form.close()
    return uploads


def _parsed(body: bytes) -> Any:
    """The JSON of a body, without numbers that JSON does not have. Raises InputError."""
    try:
        return json.loads(body, parse_constant=_refused_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("body", "is not valid JSON", 'send JSON such as {"rows": [{...}]}') from error


def _refused_constant(name: str) -> None:
    raise ValueError(name)


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": output.printable(sentence)}, status)
