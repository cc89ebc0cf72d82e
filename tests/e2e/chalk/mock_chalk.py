"""A small Chalk deployment that permits everything, for the tests to stand tagwarden in front of.

    python mock_chalk.py --port PORT [--advertise URL]

One port speaks HTTP/1.1 and h2c gRPC, as chalkpy expects of its `api_server`: the first three bytes tell to which of two servers
within a connection goes. `--advertise` is where the answers of the token exchange say that everything is (left out: here).
Prints one line when it is ready, and ends on SIGTERM.

It knows no permission, takes names as loosely as chalkpy's own resolver, and answers what it does not know with its secrets: a
hole in front of it shows as a leaked value. GET /__mock__/log tells what reached it since GET /__mock__/clear.

Requests ask for failures with the header (metadata) `x-mock-fail`: 200-unauthorized, 400-std, 401, 403, 403-std, 500, 500-html;
gRPC: unauthenticated, permission_denied, unavailable, chalk_error. `resolver` is a resolver that fails with the values that it had
in its hands, and `x-mock-extra` any value: the answer has more than what was asked for.
"""

import argparse
import base64
import json
import re
import signal
import socket
import struct
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pyarrow as pa
from chalk._gen.chalk.common.v1 import chalk_error_pb2, online_query_pb2, upload_features_pb2
from chalk._gen.chalk.graph.v1 import graph_pb2 as graph_v1_pb2
from chalk._gen.chalk.server.v1 import auth_pb2, integrations_pb2, team_pb2
from google.protobuf.json_format import MessageToDict

ENV_ID, ENV_NAME, TEAM = "envmock1", "production", "teammock1"
TTL_S = 3600
CREDENTIALS = {"token-full": "ts-full-secret", "token-limited": "ts-limited-secret", "token-filter": "ts-filter-secret"}
FEATURES = {  # namespace -> {feature: value}; each value that a restricted caller may not see stands nowhere else
    "user": {
        "id": 1,
        "name": "Ada",
        "avg_transaction_amount": 2028.375,
        "fraud_score": 0.25,
        "fraud_score@2": 0.7548828125,
        "ssn": "000-00-0000",
        "count__3600__": 3,
        "count__86400__": 90210007,
    },
    "identity": {"id": 1, "is_voip_phone": False, "number": "+1-555-0100"},
    "transaction": {"id": 1, "user_id": 1, "amount": 1017.25},
}
HAS_ONE = {"user.identity": "identity", "transaction.user": "user"}
HAS_MANY = {"user.transactions": ("transaction", [
    {"id": 1, "user_id": 1, "amount": 1017.25}, {"id": 2, "user_id": 1, "amount": 3039.5}])}
NAMED_QUERIES = {("fraud", None): ["user.fraud_score", "user.name"], ("fraud", "1.1.0"): ["user.fraud_score@2"]}
RESOLVERS = {"get_score": ["user.fraud_score@2"]}
SECRETS = "ssn 000-00-0000, amounts 1017.25 and 3039.5, number +1-555-0100"
TOKENS = {}  # access token -> (client, expiry)
LOG = []
LOCK = threading.Lock()


# ---------------------------------------------------------------- engine


def chalk_error(code, category, message, feature=None, **more):
    return dict(
        code=code, category=category, message=message, display_primary_key=None, display_primary_key_fqn=None, exception=None,
        feature=feature, resolver=None,
    ) | more


def unauthorized(category="REQUEST", tail=""):
    return chalk_error("UNAUTHORIZED", category, f"Feature 'user.ssn' is not authorized{tail}", "user.ssn")


def resolver_failed():
    """What a resolver raises can hold what it was computing with."""
    exception = dict(kind="ValueError", message=SECRETS, stacktrace=f"File \"score.py\", line 3\n{SECRETS}", internal_stacktrace=SECRETS)
    return chalk_error("RESOLVER_FAILED", "FIELD", f"get_score failed: {SECRETS}", "user.fraud_score@2", exception=exception,
                       resolver="mock.get_score", display_primary_key="000-00-0000", display_primary_key_fqn="user.ssn")


def evaluate(e):
    """The value of `_.a.b`, so that a leak shows it; 42 for all that is harder."""
    path, n = [], e.expr
    while n.WhichOneof("expr_form") == "get_attribute":
        path.insert(0, n.get_attribute.attribute.name)
        n = n.get_attribute.parent
    try:
        return resolve(".".join(([e.namespace] if e.namespace else []) + path))[0][1] if path else 42.0
    except KeyError:
        return 42.0


def resolve(output):
    """[(name, value)] of an output. Raises KeyError.

    In any case of letters, with aliases of windows (user.count_1h) and ways through a has-many, and by names of resolvers."""
    if output in RESOLVERS:
        return [x for o in RESOLVERS[output] for x in resolve(o)]
    output = output.lower()
    seconds = {"d": 86400, "h": 3600, "m": 60}
    output = re.sub(r"_{1,2}(\d+)([dhm])(?:__)?$", lambda m: f"__{int(m[1]) * seconds[m[2]]}__", output)
    output = re.sub(r"\[\"(\d+)([dhm])\"\]$", lambda m: f"__{int(m[1]) * seconds[m[2]]}__", output)
    output = re.sub(r"@1$", "", output).strip()
    for hm, (ns, _) in HAS_MANY.items():
        if output.startswith(hm + "."):
            output = f"{hm}[{ns}.{output[len(hm) + 1:]}]"
    m = re.match(r"^([^\[\]]+)\[(.*)\]$", output)
    cols = None
    if m and m.group(1) in HAS_MANY:
        output, cols = m.group(1), [c.strip().split(".")[-1] for c in m.group(2).split(",") if c.strip()]
    if output in HAS_MANY:
        ns, rows = HAS_MANY[output]
        cols = cols or list(FEATURES[ns])
        value = lambda row, c: row[c] if c in row else FEATURES["user"][c]  # over transaction.user
        return [(output, {"columns": [f"{ns}.{c}" for c in cols], "values": [[value(r, c) for r in rows] for c in cols]})]
    if output in FEATURES:
        return [(f"{output}.{k}", v) for k, v in FEATURES[output].items() if "@" not in k]
    head, _, rest = output.partition(".")
    path = ns = head
    parts = rest.split(".") if rest else []
    for i, p in enumerate(parts):
        path += "." + p
        if f"{ns}.{p}" in HAS_ONE:
            ns = HAS_ONE[f"{ns}.{p}"]
            if i == len(parts) - 1:
                return [(f"{path}.{k}", v) for k, v in FEATURES[ns].items() if "@" not in k]
        elif i == len(parts) - 1:
            return [(path, FEATURES.get(ns, {})[p])]
        else:
            break
    raise KeyError(output)


def run_query(query, fail, extra):
    """(data, errors) of a query as `asked` describes it."""
    if fail in ("200-unauthorized", "chalk_error"):
        return [], [unauthorized(tail=" for this environment for tag pii")]
    if fail == "resolver":
        return [], [resolver_failed()]
    data, errors, defined = [], [], {}
    outputs = query["outputs"]
    for field in query["overlay"].feature_fields if query["overlay"] else ():
        f = field.scalar
        expression = online_query_pb2.FeatureExpression(namespace=f.namespace, expr=f.expression)
        defined[f"{f.namespace}.{f.name}"] = evaluate(expression)
    if not outputs and not query["expressions"] and query["query_name"]:
        key = (query["query_name"], query["query_name_version"])
        if key not in NAMED_QUERIES:
            return [], [chalk_error("INVALID_QUERY", "REQUEST", f"No query with name {key[0]!r} version {key[1]!r}")]
        outputs = NAMED_QUERIES[key]
    for o in outputs:
        if o in defined:
            data.append((o, defined[o]))
            continue
        try:
            data += resolve(o)
        except KeyError:
            errors.append(chalk_error("PARSE_FAILED", "REQUEST", f"Feature {o!r} does not exist", o))
    for e in query["expressions"]:
        prefix = e.namespace + "." if e.namespace and "." not in e.output_column_name else ""
        data.append((prefix + e.output_column_name, evaluate(e)))
    if extra:
        got = {name for name, _ in data}
        data += [(name, value) for o in ("user.ssn", "user.fraud_score@2", "user.identity.number", "user.transactions")
                 for name, value in resolve(o) if name not in got]
        for _, value in data:  # and in the rows of a has-many
            if isinstance(value, dict) and "transaction.amount" not in value["columns"]:
                value["columns"].append("transaction.amount")
                value["values"].append([1017.25, 3039.5])
    return data, errors


def asked(inputs, outputs, expressions, name, version, overlay, more):
    return dict(inputs=list(inputs), outputs=list(outputs), expressions=list(expressions), query_name=name or None,
                query_name_version=version or None, overlay=overlay, more=more)


def asked_in_json(b, inputs):
    expressions = [
        online_query_pb2.FeatureExpression.FromString(base64.b64decode(x)) for x in b.get("expression_outputs") or []]
    overlay = b.get("overlay_graph")
    overlay = graph_v1_pb2.OverlayGraph.FromString(base64.b64decode(overlay)) if overlay else None
    return asked(inputs, b.get("outputs") or [], expressions, b.get("query_name"), b.get("query_name_version"), overlay, b)


def asked_in_proto(req):
    of = lambda kind: [getattr(o, kind) for o in req.outputs if o.WhichOneof("expr") == kind]
    context, bulk = req.context, isinstance(req, online_query_pb2.OnlineQueryBulkRequest)
    inputs = (read_table(req.inputs_feather).column_names if req.inputs_feather else []) if bulk else req.inputs
    overlay = context.overlay_graph if context.HasField("overlay_graph") else None
    return asked(inputs, of("feature_fqn"), of("feature_expression"), context.query_name, context.query_name_version, overlay,
                 MessageToDict(req, preserving_proto_field_name=True))


def logged(query):
    """A query as /__mock__/log tells it; `text` is all of it, to look for names in."""
    decoded = [MessageToDict(e) for e in query["expressions"]]
    overlay = MessageToDict(query["overlay"]) if query["overlay"] else None
    more = {k: v for k, v in query["more"].items() if k not in ("inputs_feather", "expression_outputs", "overlay_graph")}
    text = json.dumps([query["inputs"], more, decoded, overlay], default=str)
    return dict(inputs=query["inputs"], outputs=query["outputs"], query_name=query["query_name"],
                expressions=[e["outputColumnName"] for e in decoded], overlay=overlay is not None, text=text)


def meta(explain):
    return dict(execution_duration_s=0.001, deployment_id="depmock1", environment_id=ENV_ID, environment_name=ENV_NAME,
                query_id="q-mock", query_timestamp="2026-11-22T00:00:00+00:00", query_hash="h-mock",
                explain_output=f"scan: {SECRETS}" if explain else None)


def issue_token(client):
    token = f"mock.{client}.{len(TOKENS) + 1}"
    TOKENS[token] = (client, time.time() + TTL_S)
    return token


def authed(header):
    known = TOKENS.get(header[7:]) if header and header.startswith("Bearer ") else None
    return known[0] if known and known[1] > time.time() else None


def log(entry):
    with LOCK:
        LOG.append(entry)


# ---------------------------------------------------------------- bulk: tables and containers


def u64(n):
    return struct.pack(">Q", n)


def bytemodel(attrs, blobs, children):
    """magic | len json(attrs) | len json({}) | len json({name: len}) blobs | len json({name: len}) children"""
    out = b"CHALK_BYTE_TRANSMISSION"
    for part in (attrs, {}):
        j = json.dumps(part).encode()
        out += u64(len(j)) + j
    for group in (blobs, children):
        j = json.dumps({k: len(v) for k, v in group.items()}).encode()
        out += u64(len(j)) + j + b"".join(group.values())
    return out


def bytemodel_attrs(b):
    assert b.startswith(b"CHALK_BYTE_TRANSMISSION")
    (n,) = struct.unpack_from(">Q", b, 23)
    return json.loads(b[31 : 31 + n])


def read_table(file):
    return pa.ipc.open_file(pa.BufferReader(file)).read_all()


def write_table(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as w:
        w.write_table(table)
    return sink.getvalue().to_pybytes()


def parse_multi_query(body):
    """`chal1`, then again and again: u64be length | header JSON | u64be length | Arrow file"""
    assert body[:5] == b"chal1", body[:16]
    pos, queries = 5, []
    while pos < len(body):
        parts = []
        for _ in range(2):
            (n,) = struct.unpack_from(">Q", body, pos)
            parts.append(body[pos + 8 : pos + 8 + n])
            pos += 8 + n
        queries.append((json.loads(parts[0]), read_table(parts[1])))
    return queries


def columns(data, nrows):
    scalars, groups = {}, {}
    for name, v in data:
        if isinstance(v, dict):
            groups[name] = pa.table({"__id__": [0] * len(v["values"][0]), **dict(zip(v["columns"], v["values"]))})
        else:
            scalars[name] = [v] * nrows
    return pa.table(scalars), groups


# ---------------------------------------------------------------- HTTP


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mock-chalk", ""
    disable_nagle_algorithm = True
    advertise = None

    def log_message(self, *_):
        pass

    def reply(self, status, body, ctype="application/json", queries=(), **more):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", ctype), ("Content-Length", str(len(body))), ("X-Mock-Trace", "t1" if status < 400 else SECRETS)):
            self.send_header(name, value)
        self.end_headers()
        if not self.path.startswith("/__mock__/"):
            client = authed(self.headers.get("Authorization"))
            log(dict(to=self.path, client=client, status=status, queries=[logged(q) for q in queries], **more))
        self.wfile.write(body)

    def token(self, body):
        b = json.loads(body)
        client = b.get("client_id")
        if b.get("grant_type") != "client_credentials" or CREDENTIALS.get(client) != b.get("client_secret"):
            return self.reply(401, {"detail": "Invalid client_id or client_secret", "trace": "t1"})
        return self.reply(200, dict(
            access_token=issue_token(client), token_type="Bearer", expires_in=TTL_S,
            expires_at=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + TTL_S)),
            api_server=self.advertise, primary_environment=ENV_ID, engines={ENV_ID: self.advertise},
            grpc_engines={ENV_ID: self.advertise}, environment_id_to_name={ENV_ID: ENV_NAME}))

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        p = self.path
        if p == "/__mock__/log":
            return self.reply(200, LOG)
        if p == "/__mock__/clear":
            LOG.clear()
            return self.reply(200, {})
        if p == "/v1/oauth/token" and self.command == "POST":
            return self.token(body)
        fail, extra = self.headers.get("x-mock-fail"), self.headers.get("x-mock-extra")
        client = authed(self.headers.get("Authorization"))
        if p == "/ping":
            return self.reply(200, {"status": "ok"})
        if client is None or fail == "401":
            return self.reply(401, {"detail": "Invalid access token"})
        failures = {
            "403": (403, {"detail": "Forbidden by mock"}),
            "403-std": (403, {"detail": "nope", "trace": "t1", "errors": [unauthorized("NETWORK")]}),
            "400-std": (400, {"detail": "nope", "trace": "t1", "errors": [unauthorized()]}),
            "500": (500, {"detail": f"boom: {SECRETS}", "trace": "t2"}),
            "500-html": (502, f"<html>bad gateway: {SECRETS}</html>".encode(), "text/html"),
        }
        if fail in failures:
            return self.reply(*failures[fail])
        if p == "/v1/who-am-i":
            return self.reply(200, {"user": client, "environment_id": ENV_ID, "team_id": TEAM})
        if p == "/v1/query/online" and self.command == "POST":
            return self.online(json.loads(body), fail, extra)
        if p == "/v1/query/feather" and self.command == "POST":
            return self.feather(body, fail, extra)
        if p == "/v1/upload_features":
            return self.reply(200, {"errors": [], "trace_id": None}, inputs=list(json.loads(body)["input"]))
        if p == "/v1/upload_features/multi":
            answer = {"operation_id": "op1", "trace_id": "t3", "errors": []}
            return self.reply(200, answer, inputs=bytemodel_attrs(body)["features"])
        if p == "/v4/offline_query":
            return self.offline(json.loads(body))
        return self.reply(200, {"leak": SECRETS})

    def online(self, b, fail, extra):
        inputs = b.get("inputs") or {}
        query = asked_in_json(b, inputs)
        data, errors = run_query(query, fail, extra)
        pkey = next(iter(inputs.values()), None)
        about = dict(chosen_resolver_fqn="mock.resolver", cache_hit=False, primitive_type=None, version=1)
        of_all = meta(b.get("explain") or extra) if b.get("include_meta") or extra else None
        rows = [dict(field=f, value=v, pkey=pkey, error=None, valid=True, ts="2026-11-22T00:00:00+00:00",
                     meta=about if b.get("include_meta") else None) for f, v in data]
        answer = dict(data=rows, errors=errors, meta=of_all) | ({"leak": SECRETS} if extra else {})
        return self.reply(200, answer, queries=[query])

    def feather(self, body, fail, extra):
        results, queries = {}, []
        for i, (header, table) in enumerate(parse_multi_query(body)):
            queries.append(asked_in_json(header, table.column_names))
            data, errors = run_query(queries[-1], fail, extra)
            scalars, groups = columns(data, table.num_rows)
            attrs = {"has_data": bool(data), "errors": [json.dumps(e) for e in errors] or None,
                     "meta": json.dumps(meta(header.get("explain") or extra))}
            children = {"groups_data": bytemodel({}, {k: write_table(v) for k, v in groups.items()}, {})}
            results[f"query_{i}"] = bytemodel(attrs, {"scalar_data": write_table(scalars)}, children)
        answer = bytemodel({}, {}, {"query_results_bytes": bytemodel({}, results, {})})
        return self.reply(200, answer, "application/octet-stream", queries)

    def offline(self, b):
        revision = dict(
            dataset_name=None, dataset_id=None, environment_id=ENV_ID, revision_id="00000000-0000-0000-0000-000000000001",
            creator_id="token-full", outputs=b["output"], givens_uri=None, status=4, num_partitions=1, output_uris="",
            filters=dict(sample_filters=dict(max_samples=None), max_cache_age_secs=None), output_version=1, num_bytes=0,
            created_at="2026-11-22T00:00:00+00:00", started_at=None, terminated_at=None, dashboard_url=None)
        answer = dict(is_finished=True, version=1, environment_id=ENV_ID, dataset_id=None, dataset_name=None, errors=None,
                      revisions=[revision])
        return self.reply(200, answer, queries=[asked_in_json({"outputs": b["output"]}, [])])

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any


# ---------------------------------------------------------------- gRPC

INTEGRATIONS = {}


def proto_err(e):
    kw = dict(code=chalk_error_pb2.ErrorCode.Value("ERROR_CODE_" + e["code"]), message=e["message"])
    if e["category"] != "NETWORK":
        kw["category"] = chalk_error_pb2.ErrorCodeCategory.Value("ERROR_CODE_CATEGORY_" + e["category"])
    for name in ("feature", "resolver", "display_primary_key", "display_primary_key_fqn"):
        kw |= {name: e[name]} if e[name] else {}
    if e["exception"]:
        kw["exception"] = chalk_error_pb2.ChalkException(**e["exception"])
    return chalk_error_pb2.ChalkError(**kw)


def pb_meta(explain):
    m = online_query_pb2.OnlineQueryMetadata(
        deployment_id="depmock1", environment_id=ENV_ID, environment_name=ENV_NAME, query_id="q-mock")
    m.execution_duration.FromMilliseconds(1)
    m.query_timestamp.FromSeconds(1795305600)
    if explain:
        m.explain_output.plan_string = f"scan: {SECRETS}"
    return m


def bulk(req, fail, extra):
    data, errors = run_query(asked_in_proto(req), fail, extra)
    n = read_table(req.inputs_feather).num_rows if req.inputs_feather else 1
    scalars, groups = columns(data, n)
    out = online_query_pb2.OnlineQueryBulkResponse(errors=[proto_err(e) for e in errors])
    if data:
        out.scalars_data = write_table(scalars if scalars.num_columns else pa.table({"__id__": [0] * n}))
        for k, v in groups.items():
            out.groups_data[k] = write_table(v)
    if req.response_options.include_meta or extra:
        out.response_meta.CopyFrom(pb_meta(req.response_options.HasField("explain") or extra))
    return out


def single(req, fail, extra):
    data, errors = run_query(asked_in_proto(req), fail, extra)
    out = online_query_pb2.OnlineQueryResponse(errors=[proto_err(e) for e in errors])
    for f, v in data:
        r = out.data.results.add(field=f)
        if isinstance(v, bool):
            r.value.bool_value = v
        elif isinstance(v, (int, float)):
            r.value.number_value = v
        elif isinstance(v, str):
            r.value.string_value = v
    return out


def multi(req, fail, extra):
    out = online_query_pb2.OnlineQueryMultiResponse()
    for q in req.queries:
        if q.WhichOneof("query") == "bulk_request":
            out.responses.add().bulk_response.CopyFrom(bulk(q.bulk_request, fail, extra))
        else:
            out.responses.add().single_response.CopyFrom(single(q.single_request, fail, extra))
    return out


class NotFound(Exception):
    pass


def integration(i):
    o = integrations_pb2.Integration(id=i["id"], name=i["name"], kind=i["kind"], environment_id=ENV_ID)
    o.created_at.FromSeconds(1795305600)
    o.updated_at.FromSeconds(1795305600)
    return o


def known(i):
    if i not in INTEGRATIONS:
        raise NotFound("no such integration")
    return INTEGRATIONS[i]


def insert(req, *_):
    iid = f"int{len(INTEGRATIONS) + 1}"
    config = {k: MessageToDict(v) for k, v in req.config.items()}
    INTEGRATIONS[iid] = dict(id=iid, name=req.name, kind=req.integration_kind, config=config)
    return integrations_pb2.InsertIntegrationResponse(integration=integration(INTEGRATIONS[iid]))


def update(req, *_):
    i = known(req.integration_id)
    i["name"] = req.name or i["name"]
    i["config"].update({k: MessageToDict(v) for k, v in req.config.items()})
    return integrations_pb2.UpdateIntegrationResponse(integration=integration(i))


def get(req, *_):
    r = integrations_pb2.GetIntegrationResponse()
    r.integration_with_secrets.integration.CopyFrom(integration(known(req.integration_id)))
    return r


def delete(req, *_):
    INTEGRATIONS.pop(known(req.id)["id"])
    return integrations_pb2.DeleteIntegrationResponse()


def get_agent(client):
    """The caller's own permissions, as the deployment would have them."""
    a = team_pb2.GetAgentResponse()
    t = a.agent.service_token_agent
    t.id, t.client_id, t.team_id, t.environment = client, client, TEAM, ENV_ID
    t.permissions.extend([2, 3, 4])
    t.feature_permissions.default_permission = 1
    t.customer_claims.add(key="query_tags", values=["pii-db"])
    return a


class Rpc(grpc.GenericRpcHandler):
    I, Q, E, S = integrations_pb2, online_query_pb2, "/chalk.engine.v1.QueryService/", "/chalk.server.v1.IntegrationsService/"
    METHODS = {
        E + "OnlineQuery": (Q.OnlineQueryRequest, single),
        E + "OnlineQueryBulk": (Q.OnlineQueryBulkRequest, bulk),
        E + "OnlineQueryMulti": (Q.OnlineQueryMultiRequest, multi),
        E + "UploadFeatures": (
            upload_features_pb2.UploadFeaturesRequest, lambda *_: upload_features_pb2.UploadFeaturesResponse(operation_id="op1")),
        E + "UploadFeaturesBulk": (Q.UploadFeaturesBulkRequest, lambda *_: online_query_pb2.UploadFeaturesBulkResponse()),
        S + "ListIntegrations": (I.ListIntegrationsRequest, lambda *_: integrations_pb2.ListIntegrationsResponse(
            integrations=[integration(i) for i in INTEGRATIONS.values()])),
        S + "GetIntegration": (I.GetIntegrationRequest, get),
        S + "InsertIntegration": (I.InsertIntegrationRequest, insert),
        S + "UpdateIntegration": (I.UpdateIntegrationRequest, update),
        S + "DeleteIntegration": (I.DeleteIntegrationRequest, delete),
        S + "TestIntegration": (I.TestIntegrationRequest, lambda *_: integrations_pb2.TestIntegrationResponse(
            kind="postgresql", success=True, message="ok", latency_seconds=0.01)),
    }

    def __init__(self, advertise):
        self.advertise = advertise

    def service(self, details):
        metadata = {k: v for k, v in details.invocation_metadata if isinstance(v, str)}
        method = details.method

        def call(raw, ctx):
            client, entry = authed(metadata.get("authorization")), dict(to=method, queries=[])
            try:
                answer = self.answer(method, raw, client, metadata, ctx, entry)
            finally:
                log(entry | dict(client=client, status=str(ctx.code() or "OK")))
            return answer

        return grpc.unary_unary_rpc_method_handler(call, None, None)

    def answer(self, method, raw, client, metadata, ctx, entry):
        if method.endswith("AuthService/GetToken"):
            return self.token(auth_pb2.GetTokenRequest.FromString(raw), ctx).SerializeToString()
        fail, extra = metadata.get("x-mock-fail"), metadata.get("x-mock-extra")
        if client is None or fail == "unauthenticated":
            ctx.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid access token")
        if fail == "permission_denied":
            ctx.abort(grpc.StatusCode.PERMISSION_DENIED, f"Feature 'user.ssn' is not authorized: {SECRETS}")
        if fail == "unavailable":
            ctx.abort(grpc.StatusCode.UNAVAILABLE, f"mock unavailable: {SECRETS}")
        trailers = (("x-chalk-trace-id", "trace-mock"),) + ((("x-leak", SECRETS),) if extra else ())
        ctx.set_trailing_metadata(trailers)
        if method.endswith("TeamService/GetAgent"):
            return get_agent(client).SerializeToString()
        if method.endswith("QueryService/Ping"):
            return b""
        if method not in self.METHODS:
            return SECRETS.encode()
        kind, function = self.METHODS[method]
        req = kind.FromString(raw)
        queries = [getattr(q, q.WhichOneof("query")) for q in req.queries] if hasattr(req, "queries") else [req]
        entry["queries"] = [logged(asked_in_proto(q)) for q in queries if hasattr(q, "outputs")]
        try:
            answer = function(req, fail, extra).SerializeToString(deterministic=True)
        except NotFound as missing:
            ctx.abort(grpc.StatusCode.NOT_FOUND, str(missing))
        # a field that no version of the client knows
        return answer + (b"\xc2\x3e" + bytes([len(SECRETS)]) + SECRETS.encode() if extra else b"")

    def token(self, req, ctx):
        if req.grant_type != "client_credentials" or CREDENTIALS.get(req.client_id) != req.client_secret:
            ctx.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid client_id or client_secret")
        r = auth_pb2.GetTokenResponse(
            access_token=issue_token(req.client_id), token_type="Bearer", expires_in=TTL_S, api_server=self.advertise,
            primary_environment=ENV_ID, engines={ENV_ID: self.advertise}, grpc_engines={ENV_ID: self.advertise},
            environment_id_to_name={ENV_ID: ENV_NAME}, environment_id_to_authority={ENV_ID: self.advertise.split("//")[1]},
            service_prefixes={1: "engine"})
        r.expires_at.FromSeconds(int(time.time()) + TTL_S)
        return r


# ---------------------------------------------------------------- one port for both


def pump(a, b):
    try:
        while d := a.recv(65536):
            b.sendall(d)
    except OSError:
        pass
    for x in (a, b):
        try:
            x.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve_one(c, http_port, grpc_port):
    head = b""
    while len(head) < 3:
        more = c.recv(3, socket.MSG_PEEK)
        if not more:
            return c.close()
        if more == head:
            time.sleep(0.005)
        head = more
    up = socket.create_connection(("127.0.0.1", grpc_port if head == b"PRI" else http_port))
    for s in (c, up):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=pump, args=(c, up), daemon=True).start()
    pump(up, c)


def mux(listener, http_port, grpc_port):
    while True:
        c, _ = listener.accept()
        threading.Thread(target=serve_one, args=(c, http_port, grpc_port), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--advertise")
    a = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", a.port))
    Handler.advertise = a.advertise or f"http://127.0.0.1:{a.port}"
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    rpc = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Rpc(Handler.advertise)])
    rpc_port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    threading.Thread(target=mux, args=(listener, http.server_port, rpc_port), daemon=True).start()
    print("ready", flush=True)
    stop = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.set())
    stop.wait()
    rpc.stop(0)


if __name__ == "__main__":
    main()
