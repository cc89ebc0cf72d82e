"""A feature server as teams write them: features of customers by id, for whoever asks. `inhouse_server.py PORT`.

    POST /features                     {"view": …, "features": […], "rows": [{"customer_id": 1}]}
                                       -> {"columns": […], "rows": [[…]]}
    GET /features/VIEW/ID?feature=…&…  -> {"id": …, "values": {…}}
    GET /health

What it is sent goes to standard output, a line each.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CUSTOMERS = {
    1: {"age": 34, "country": "AT", "email": "ada@example.com", "iban": "DE89370400440532013000"},
    2: {"age": 51, "country": "FR", "email": "bob@example.org", "iban": "LI21088100002324013AA"},
}


def feature(key, name):
    row = CUSTOMERS[int(key)]
    return row["iban"][:2] if name == "bank_country" else row[name]


def rows(query):
    table = [[key["customer_id"]] + [feature(key["customer_id"], name) for name in query["features"]] for key in query["rows"]]
    return {"columns": ["customer_id", *query["features"]], "rows": table}


class Handler(BaseHTTPRequestHandler):
    def answer(self, made):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        print(self.command, self.path, body.decode(), flush=True)
        url = urlsplit(self.path)
        try:
            status, told = 200, made(url.path.split("/")[1:], parse_qs(url.query), json.loads(body or "null"))
        except (KeyError, ValueError, TypeError) as error:
            status, told = 400, {"error": f"cannot answer: {error!r}"}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def do_POST(self):
        self.answer(lambda path, _, query: rows(query))

    def do_GET(self):
        def made(path, parameters, _):
            if path == ["health"]:
                return {"status": "ok"}
            _, _, key = path
            return {"id": key, "values": {name: feature(key, name) for name in parameters["feature"]}}

        self.answer(made)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
