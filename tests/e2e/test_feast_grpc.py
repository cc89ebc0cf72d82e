"""Feast's gRPC server behind the sidecar, with Feast's own stubs."""

import grpc
import pytest
from feast.protos.feast.serving import GrpcServer_pb2 as writes
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import FeatureList, GetOnlineFeaturesRequest
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from conftest import POLICY
from support import wait_for

ROLES = "full, restricted, restricted-filter, internal-filter"
ROUTES = f"routes: [{{path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST], roles: [{ROLES}]}}]\n"
PROFILE = ["customer_profile:ssn", "customer_profile:vip", "customer_profile:email"]


def values(kind, *values):
    return RepeatedValue(val=[Value(**{kind: value}) for value in values])


def asks(*features, ids=(1, 2), **more):
    wanted = {"features": FeatureList(val=features)} if features else {}
    entities = {"customer_id": values("int64_val", *ids)}
    return GetOnlineFeaturesRequest(**wanted, **({"entities": entities} | more))


def columns(answer):
    """Name -> column, as it is on the wire."""
    names = list(answer.metadata.feature_names.val)
    assert len(names) == len(answer.results) == len(set(names)), names
    return {name: column.SerializeToString(deterministic=True) for name, column in zip(names, answer.results)}


class Caller:
    """A client of a port, with a token where there is one."""

    def __init__(self, port, token=None, compression=None):
        options = [("grpc.enable_http_proxy", 0)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options, compression=compression)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.stub = GrpcFeatureServerStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def read(self, request):
        return self.stub.GetOnlineFeatures(request, metadata=self.metadata, timeout=30)

    def fails(self, request, method="GetOnlineFeatures"):
        """How a call ends that is no answer."""
        with pytest.raises(grpc.RpcError) as caught:
            getattr(self.stub, method)(request, metadata=self.metadata, timeout=30)
        return caught.value


@pytest.fixture(scope="module")
def behind(start_sidecar, feast, feast_grpc):
    return start_sidecar("grpc", feast.port, engine_port=feast_grpc.port, extra=ROUTES)


@pytest.fixture
def caller(behind, idp):
    """caller(client, compression=…): a client of that name, through the sidecar."""
    opened = []

    def make(client, **options):
        opened.append(Caller(behind.port, idp.token(client), **options))
        return opened[-1]

    yield make
    for one in opened:
        one.channel.close()


@pytest.fixture
def direct(feast_grpc):
    with Caller(feast_grpc.port) as caller:
        yield caller


def metadata(ended):
    return dict(ended.initial_metadata() or ()) | dict(ended.trailing_metadata() or ())


@pytest.mark.parametrize("full_names", [False, True])
@pytest.mark.parametrize(
    "features",
    [
        ["customer_profile:age"],
        ["customer_profile:country", "customer_activity:txn_count_7d", "num:edge__big", "num:weird"],
        [f"customer_activity:{name}" for name in ("recent_amounts", "recent_codes", "labels", "flags", "attrs", "blob")],
        ["customer_profile@latest:age", "stale_view:stale_score"],
        ["email_parts:email_domain"],
    ],
    ids=lambda features: features[0],
)
def test_what_is_permitted_is_as_feast_gives_it(caller, direct, features, full_names):
    request = asks(*features, ids=(1, 5, 9999), full_feature_names=full_names)
    wanted = columns(direct.read(request))
    assert len(wanted) == len(features) + 1
    assert columns(caller("full").read(request)) == wanted
    assert columns(caller("full", compression=grpc.Compression.Gzip).read(request)) == wanted


def test_services_are_as_feast_gives_them(caller, direct):
    request = asks(feature_service="crm_service")
    assert columns(caller("full").read(request)) == columns(direct.read(request))
    pair = {"buyer_id": values("int64_val", 1), "seller_id": values("int64_val", 2)}
    request = asks(feature_service="pair_service", entities=pair, full_feature_names=True)
    whole = columns(direct.read(request))
    assert columns(caller("full").read(request)) == whole
    # Cut by name from what Feast answers.
    del whole["buyer__ssn"]
    answer, call = caller("internal-filter").stub.GetOnlineFeatures.with_call(
        request, metadata=caller("internal-filter").metadata, timeout=30
    )
    assert columns(answer) == whole
    assert metadata(call)["x-tagwarden-filtered"] == "1"


def test_a_call_with_a_refused_feature_fails_whole(caller, behind, secrets):
    ended = caller("restricted").fails(asks(*PROFILE))
    assert ended.code() == grpc.StatusCode.PERMISSION_DENIED
    assert ended.details() == "Not permitted for this caller: customer_profile:ssn, customer_profile:email"
    decision = metadata(ended)["x-tagwarden-decision-id"].encode()
    assert len(decision) == 32
    wait_for(lambda: decision in behind.audit.read_bytes(), "the line of the refusal in the audit log", 10)
    assert not [secret for secret in secrets if secret in behind.audit.read_bytes() + behind.process.log.read_bytes()]
    for features in (["customer_profile:age"], ["customer_profile:nope"], ["nope:nope"]):
        ended = caller("restricted").fails(asks(*features))
        assert (ended.code(), ended.details()) == (
            grpc.StatusCode.PERMISSION_DENIED, f"Not permitted for this caller: {features[0]}"
        )
    ended = caller("restricted").fails(asks(feature_service="crm_service"))
    assert ended.details() == "Not permitted for this caller: crm_service"


def test_refused_features_are_cut(caller, direct):
    answer, call = caller("restricted-filter").stub.GetOnlineFeatures.with_call(
        asks(*PROFILE), metadata=caller("restricted-filter").metadata, timeout=30
    )
    assert columns(answer) == columns(direct.read(asks("customer_profile:vip")))
    assert metadata(call)["x-tagwarden-filtered"] == "2"
    assert len(metadata(call)["x-tagwarden-decision-id"]) == 32


def test_no_caller_without_a_good_token(behind, idp):
    for token, details in [
        (None, "A Bearer token is required"),
        ("not.a.token", "The access token is invalid"),
        (idp.token("full", age=7200), "Access token has expired"),
        (idp.token("full", aud="other"), "The access token is invalid"),
    ]:
        with Caller(behind.port, token) as caller:
            ended = caller.fails(asks("customer_profile:vip"))
            assert (ended.code(), ended.details()) == (grpc.StatusCode.UNAUTHENTICATED, details)
    # A role that the route is not for, and a caller without a role.
    for client in ("reviewer", "stranger"):
        with Caller(behind.port, idp.token(client)) as caller:
            ended = caller.fails(asks("customer_profile:vip"))
            assert ended.code() == grpc.StatusCode.PERMISSION_DENIED
            assert ended.details() == "This caller may not use this route"


def test_other_methods_are_closed(behind, caller, sidecar, idp):
    full = caller("full")
    push = writes.PushRequest(stream_feature_view="cust_push", features={"customer_id": "1"}, to="online")
    write = writes.WriteToOnlineStoreRequest(feature_view_name="num", features={"customer_id": "1"})
    for method, request in [("Push", push), ("WriteToOnlineStore", write)]:
        assert full.fails(request, method).code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as caught:
        health = health_pb2_grpc.HealthStub(full.channel)
        health.Check(health_pb2.HealthCheckRequest(), metadata=full.metadata, timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    # So is the read where it is not listed.
    with Caller(sidecar.port, idp.token("full")) as caller:
        assert caller.fails(asks("customer_profile:vip")).code() == grpc.StatusCode.UNIMPLEMENTED


def test_what_feast_says_of_an_error_stays_behind(caller, direct):
    """Feast 0.67 cannot take the fields of a request over gRPC, and answers with its exception."""
    fields = {"basket_total": values("double_val", 1.0), "coupon": values("string_val", "x")}
    request = asks("checkout_risk:avg_txn", entities={"customer_id": values("int64_val", 1)} | fields)
    told = direct.fails(request)
    assert told.code() == grpc.StatusCode.UNKNOWN and "Exception calling application" in told.details()
    ended = caller("full").fails(request)
    assert (ended.code(), ended.details()) == (
        grpc.StatusCode.UNKNOWN, "The feature server ended the call with an error"
    )


@pytest.fixture
def writing(start_sidecar, feast, feast_grpc, idp):
    """A sidecar whose role `full` may write a view, and whose other roles may write nothing."""
    paths = ("GetOnlineFeatures", "Push", "WriteToOnlineStore")
    routes = ", ".join(f"{{path: /GrpcFeatureServer/{path}, methods: [POST]}}" for path in paths)
    policy = POLICY.replace("full: {default: Allow,", "full: {default: Allow, writes: ['num:*'],")
    assert policy != POLICY
    sidecar = start_sidecar(
        "grpc-writes", feast.port, engine_port=feast_grpc.port, extra=f"routes: [{routes}]\n", policy=policy
    )
    with Caller(sidecar.port, idp.token("full")) as full, Caller(sidecar.port, idp.token("restricted")) as restricted:
        yield full, restricted


def test_a_view_is_written_by_who_may_write_all_of_it(writing, direct):
    full, restricted = writing
    row = {
        "customer_id": Value(int64_val=777), "edge__big": Value(int64_val=9007199254740995),
        "ratio": Value(double_val=0.25), "weird": Value(double_val=1.5), "f32": Value(float_val=2.5),
        "event_timestamp": Value(string_val="2027-03-01T00:00:00Z"),
    }
    write = writes.WriteToOnlineStoreRequest(feature_view_name="num", typed_features=row)
    before = direct.read(asks("num:edge__big", ids=[777]))
    ended = restricted.fails(write, "WriteToOnlineStore")
    assert (ended.code(), ended.details()) == (
        grpc.StatusCode.PERMISSION_DENIED, "Not permitted for this caller: num"
    )
    assert columns(direct.read(asks("num:edge__big", ids=[777]))) == columns(before)
    assert full.stub.WriteToOnlineStore(write, metadata=full.metadata, timeout=30).status is True
    answer = full.read(asks("num:edge__big", "num:ratio", ids=[777]))
    assert columns(answer) == columns(direct.read(asks("num:edge__big", "num:ratio", ids=[777])))
    got = {name: column.values[0] for name, column in zip(answer.metadata.feature_names.val, answer.results)}
    assert (got["edge__big"].int64_val, got["ratio"].double_val) == (9007199254740995, 0.25)
    # A push source belongs to a view that this role may not write, and a column that nobody knows to none.
    key = {"customer_id": Value(int64_val=1)}
    push = writes.PushRequest(stream_feature_view="cust_push", typed_features=key, to="online")
    assert full.fails(push, "Push").details() == "Not permitted for this caller: cust_push"
    write.typed_features["new"].int64_val = 1
    assert full.fails(write, "WriteToOnlineStore").details() == "Not permitted for this caller: new"


def sample(field):
    """A value of a field of `Value`, in the kind that it has."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = field.message_type._concrete_class()
        for name in ("val", "unix_timestamp"):
            below = inner.DESCRIPTOR.fields_by_name.get(name)
            if below is None or (below.message_type and below.message_type.GetOptions().map_entry):
                continue
            if not below.is_repeated:
                setattr(inner, name, 1)
            elif below.message_type is None:
                getattr(inner, name).append(sample(below))
            else:
                getattr(inner, name).add()
        return inner
    return {
        FieldDescriptor.TYPE_STRING: "a", FieldDescriptor.TYPE_BYTES: b"a", FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_ENUM: 0, FieldDescriptor.TYPE_DOUBLE: 1.5, FieldDescriptor.TYPE_FLOAT: 1.5,
    }.get(field.type, -1)


def test_every_kind_of_value_that_feast_knows_is_read(caller):
    """What Feast makes of it is its own affair: here none is unknown."""
    full = caller("full")
    kinds = [field for field in Value.DESCRIPTOR.fields if field.name != "null_val"]
    assert len(kinds) > 40
    for field in kinds:
        value = Value(**{field.name: sample(field)})
        request = asks("customer_profile:country", entities={"customer_id": RepeatedValue(val=[value])})
        try:
            full.read(request)
        except grpc.RpcError as ended:
            assert ended.details() == "The feature server ended the call with an error", (field.name, ended.details())
    for null in (Value(), Value(null_val=0)):
        ended = full.fails(asks("customer_profile:country", entities={"customer_id": RepeatedValue(val=[null])}))
        assert (ended.code(), ended.details()) == (
            grpc.StatusCode.INVALID_ARGUMENT, "entity `customer_id` holds a null"
        )


def test_what_cannot_be_checked_is_refused_by_its_name(caller):
    context = asks("customer_profile:country", request_context={"basket_total": values("double_val", 1.0)})
    for request, details in [
        (context, "`request_context` cannot be followed"),
        (asks(), "neither `features` nor `feature_service` is given"),
        (asks("customer_profile:country", entities={}), "`entities` is empty"),
        (asks("country"), "`country` is not of the form `view:feature`"),
    ]:
        ended = caller("full").fails(request)
        assert (ended.code(), ended.details()) == (grpc.StatusCode.INVALID_ARGUMENT, details)
