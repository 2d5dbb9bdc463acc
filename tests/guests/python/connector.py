"""A connector in Python: reads the people of a small HTTP API. `settings["url"]` is where it is."""

import json
from urllib.parse import quote, urlsplit

from componentize_py_types import Err
from wit_world.imports import log, outgoing_handler
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.usher_connector_types import (
    Account, AccountPage, AccountStatus, CallError, CheckReport, CheckStep, Creation_None_, Descriptor, Effect,
    ErrorKind_NotFound, ErrorKind_Unavailable, ErrorKind_Unsupported,
)
from wit_world.imports.wasi_http_types import (
    Fields, IncomingBody, OutgoingBody, OutgoingRequest, Scheme_Http, Scheme_Https,
)

SETTINGS_SCHEMA = {
    "type": "object",
    "properties": {"url": {"type": "string"}, "spin": {"type": "boolean"}},
    "required": ["url"],
    "additionalProperties": False,
}
ACCOUNT_SCHEMA = {"type": "object", "properties": {"login": {"type": "string"}, "name": {"type": "string"}}}
CHUNK_BYTES = 64 * 1024


def failure(kind, message):
    return Err(CallError(kind, Effect.NONE, None, None, message))


def get(url):
    """Status and body of one GET."""
    parts = urlsplit(url)
    request = OutgoingRequest(Fields())
    request.set_scheme(Scheme_Https() if parts.scheme == "https" else Scheme_Http())
    request.set_authority(parts.netloc)
    request.set_path_with_query(parts.path or "/")
    body = request.body()
    future = outgoing_handler.handle(request, None)
    OutgoingBody.finish(body, None)
    future.subscribe().block()
    answer = future.get().value
    if isinstance(answer, Err):
        raise answer
    response = answer.value
    incoming = response.consume()
    stream, chunks = incoming.stream(), []
    try:
        while True:
            chunks.append(stream.blocking_read(CHUNK_BYTES))
    except Err as end:
        if not isinstance(end.value, StreamError_Closed):
            raise
    stream.__exit__(None, None, None)
    IncomingBody.finish(incoming)
    return response.status(), b"".join(chunks)


def ask(call, path):
    settings = json.loads(call.settings)
    while settings.get("spin"):
        pass
    try:
        status, body = get(settings["url"] + path)
    except Err as error:
        raise failure(ErrorKind_Unavailable(), repr(error.value))
    if status == 404:
        raise failure(ErrorKind_NotFound(), path)
    if status != 200:
        raise failure(ErrorKind_Unavailable(), f"{path}: {status}")
    return json.loads(body)


def account(person):
    attributes = {name: value for name, value in person.items() if name not in ("id", "active")}
    status = AccountStatus.ENABLED if person["active"] else AccountStatus.DISABLED
    return Account(person["id"], json.dumps(attributes), status, None, None)


class Connector:
    def describe(self, settings):
        return Descriptor("python", "0.1.0", None, json.dumps(SETTINGS_SCHEMA), [], Creation_None_())

    def check(self, call):
        people = ask(call, "/people")
        return CheckReport([CheckStep("read", True, f"{len(people)} people")], [])


class Accounts:
    def schema(self, call):
        return json.dumps(ACCOUNT_SCHEMA)

    def create(self, call, write, attributes):
        return account({"id": write.intent_id, "active": True, **json.loads(attributes)})

    def update(self, call, write, id, update):
        raise failure(ErrorKind_Unsupported(), "this API can only be read")

    def disable(self, call, write, id):
        raise failure(ErrorKind_Unsupported(), "this API can only be read")

    def enable(self, call, write, id):
        raise failure(ErrorKind_Unsupported(), "this API can only be read")

    def delete(self, call, write, id):
        raise failure(ErrorKind_Unsupported(), "this API can only be read")

    def get(self, call, id):
        try:
            return account(ask(call, "/people/" + quote(id, safe="")))
        except Err as error:
            if isinstance(error.value.kind, ErrorKind_NotFound):
                return None
            raise

    def find(self, call, query):
        return []

    def list(self, call, cursor, limit):
        people = ask(call, "/people")
        log.write(log.Level.INFO, f"{len(people)} people")
        return AccountPage([account(person) for person in people[:limit]], None)
