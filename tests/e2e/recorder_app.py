"""An ASGI application that writes down what its server read, a line of JSON each, and answers with method and target. Run as
Feast runs its own: gunicorn with a worker of uvicorn."""

import json
import os

ANSWER = (
    b'{"results":[{"values":[1]},{"values":[30]}],'
    b'"metadata":{"feature_names":["customer_id","customer__age"]}}'
)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    assert scope["type"] == "http", scope["type"]
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message["type"]
        body, more = body + message.get("body", b""), message.get("more_body", False)
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    line = f"{scope['method']} {target.decode('latin-1')}"
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    if scope["path"] != "/ready":
        seen = {"line": line, "headers": headers, "body": body.decode("latin-1"), "client": scope["client"][1]}
        with open(os.environ["RECORDED"], "a") as file:
            file.write(json.dumps(seen) + "\n")
    known = scope["path"] == "/get-online-features"
    kind, answer = (b"application/json", ANSWER) if known else (b"text/plain", line.encode("latin-1"))
    length = str(len(answer)).encode()
    await send({
        "type": "http.response.start", "status": 200, "headers": [(b"content-type", kind), (b"content-length", length)],
    })
    await send({"type": "http.response.body", "body": answer})
