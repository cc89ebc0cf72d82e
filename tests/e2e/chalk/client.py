"""The unmodified chalkpy, as a child: what to call on standard input, what came of it on standard output, a line of JSON each.

    {"client": [KIND, {argument: value}], "call": METHOD, "arguments": {name: value}}

KIND is http, http-async, grpc or grpc-async; a client is made once for its arguments. A text that begins with `=` is Python:
`=User.ssn.alias("harmless")`. Beside the method's own arguments, `overlay` sends a graph of the caller's along, and `stale` makes
the client's token an old one before. The outcome is what the client itself gives, every member of it, or what it raises.
"""

import asyncio
import functools
import json
import sys
import threading
from unittest import mock

import grpc
import polars
from chalk import DataFrame, Windowed, _, windowed
from chalk.client import AsyncChalkClient, ChalkClient, OnlineQuery
from chalk.client.api.datasources import LinkedSecretRef  # noqa: F401
from chalk.client.client_grpc import ChalkGRPCClient
from chalk.client.client_grpc_async import AsyncChalkGRPCClient
from chalk.features import feature, features, has_one
from chalk.features import live_updates
import chalk.functions as F  # noqa: F401, for what is Python
from chalk._gen.chalk.common.v1 import online_query_pb2
from chalk._gen.chalk.graph.v1 import graph_pb2
from chalk._gen.chalk.server.v1 import team_pb2
from google.protobuf.json_format import MessageToDict, ParseDict


@features
class Identity:
    id: int
    is_voip_phone: bool
    number: str


@features
class Transaction:
    id: int
    user_id: "User.id"
    amount: float
    user: "User"


@features
class User:
    id: int
    name: str
    ssn: str
    avg_transaction_amount: float
    fraud_score: float = feature(version=2, default_version=2)
    count: Windowed[int] = windowed("1h", "1d")
    identity: Identity = has_one(lambda: Identity.id == User.id)
    transactions: DataFrame[Transaction]


KINDS = {
    "http": ChalkClient, "http-async": AsyncChalkClient, "grpc": ChalkGRPCClient, "grpc-async": AsyncChalkGRPCClient,
}
# so that what comes can be read on the way, and each client has connections of its own
PLAIN = [("grpc.compression_enabled_algorithms_bitset", 1), ("grpc.use_local_subchannel_pool", 1)]
CLIENTS = {}
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def overlay():
    """A feature of the caller's own, `user.leak`, that is another's value."""
    graph = graph_pb2.OverlayGraph()
    leak = graph.feature_fields.add().scalar
    leak.name, leak.namespace, leak.attribute_name = "leak", "user", "leak"
    leak.arrow_type.large_utf8.SetInParent()
    leak.expression.get_attribute.parent.identifier.name = "_"
    leak.expression.get_attribute.attribute.name = "ssn"
    return graph


def python(value):
    """What a value of a request means."""
    if isinstance(value, str) and value.startswith("="):
        return eval(value[1:], globals())
    if isinstance(value, dict):
        return {python(k): python(v) for k, v in value.items()}
    return [python(v) for v in value] if isinstance(value, list) else value


def waited(outcome):
    return asyncio.run_coroutine_threadsafe(outcome, LOOP).result(60) if asyncio.iscoroutine(outcome) else outcome


def client_of(kind, arguments):
    key = json.dumps([kind, arguments])
    if key not in CLIENTS:
        if kind.startswith("grpc"):
            headers = list(arguments.pop("additional_headers", {}).items())
            arguments |= {"channel_options": PLAIN, "additional_headers": headers}
        make = AsyncChalkGRPCClient.create if kind == "grpc-async" else KINDS[kind]
        CLIENTS[key] = waited(make(**arguments))
    return CLIENTS[key]


def called(kind, new, method, arguments):
    arguments = python(arguments)
    if method == "rpc":
        return rpc(new, **arguments)
    client = client_of(kind, dict(new))
    if "queries" in arguments:
        arguments["queries"] = [OnlineQuery(**query) for query in arguments["queries"]]
    graph = overlay() if arguments.pop("overlay", False) else None
    if arguments.pop("stale", False):
        of_http = getattr(client, "_client", client)
        assert of_http._access_token, "the client has no token yet"
        of_http._access_token = "stale"
        of_http._default_headers["Authorization"] = "Bearer stale"
    with mock.patch.object(live_updates, "build_overlay_graph", lambda: graph):
        return waited(functools.reduce(getattr, method.split("."), client)(**arguments))


def rpc(new, path, message=None, kind=None, metadata=None, more=""):
    """A method that no client calls so: by its path, with the client's token. `more` is hexadecimal, behind the message."""
    token = client_of("grpc", dict(new))._stub_refresher._stub._token_refresher.get_token().access_token
    kinds = team_pb2 if kind == "GetAgentRequest" else online_query_pb2
    raw = ParseDict(message or {}, getattr(kinds, kind)()).SerializeToString() if kind else b""
    with grpc.insecure_channel(new["api_server"].removeprefix("http://"), PLAIN) as channel:
        ask = channel.unary_unary(path)
        headers = [("authorization", f"Bearer {token}"), *(metadata or {}).items()]
        answer, call = ask.with_call(raw + bytes.fromhex(more), metadata=headers, timeout=20)
    told = MessageToDict(getattr(kinds, kind.replace("Request", "Response")).FromString(answer)) if kind else None
    return {"answer": told, "raw": answer.hex(), "trailers": [list(pair) for pair in call.trailing_metadata()]}


def told(value):
    """Every member of what a client gives."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, DataFrame):  # the rows of a has-many
        value = polars.from_arrow(value.to_pyarrow())
    if isinstance(value, polars.DataFrame):
        return {"columns": {name: told(value[name].to_list()) for name in value.columns}, "types": [str(t) for t in value.dtypes]}
    if isinstance(value, dict):
        return {str(k): told(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(v) for v in value]
    if isinstance(value, grpc.Call):
        return {"code": value.code().name, "details": value.details(), "trailers": told(value.trailing_metadata())}
    members = getattr(value, "__dict__", None) or {}
    return {name: told(v) for name, v in members.items() if not name.startswith("_")} or str(value)


def outcome(request):
    try:
        return {"result": told(called(*request["client"], request["call"], request["arguments"]))}
    except Exception as error:
        raised = {"raised": type(error).__name__, "text": str(error), "errors": told(getattr(error, "errors", None))}
        if isinstance(error, (grpc.RpcError, grpc.aio.AioRpcError)):
            raised |= {"raised": "RpcError", "code": error.code().name, "details": error.details(),
                       "trailers": [list(pair) for pair in error.trailing_metadata() or ()]}
        return raised


def main():
    out, sys.stdout = sys.stdout, sys.stderr  # what chalkpy prints is no answer
    for line in sys.stdin:
        print(json.dumps(outcome(json.loads(line)), default=str), file=out, flush=True)


if __name__ == "__main__":
    main()
