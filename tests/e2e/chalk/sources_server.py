"""A Chalk deployment's data sources, for anyone, with a secret in every answer that has room for one.

usage: sources_server.py PORT LOG; one line a call goes to LOG. Run by test_chalk_sources.py.
"""

import json
import sys
from concurrent import futures

import grpc
from chalk._gen.chalk.auth.v1 import agent_pb2
from chalk._gen.chalk.server.v1 import auth_pb2, integrations_pb2 as pb, team_pb2
from google.protobuf.json_format import MessageToDict

ENVIRONMENT, SECRET = "envmock1", "canary-of-the-deployment"
SERVICE = "/chalk.server.v1.IntegrationsService/"
port, log = sys.argv[1:]
sources = {}


def add(name, kind, id=None):
    id = id or f"int{len(sources) + 1}"
    sources[id] = source = pb.Integration(id=id, name=name, kind=kind, environment_id=ENVIRONMENT)
    source.created_at.FromSeconds(1795305600)
    source.updated_at.FromSeconds(1795305600)
    source.warnings.add(code=2, title=SECRET, message=SECRET, config_keys=[SECRET])
    return source


def known(id, context):
    return sources.get(id) or context.abort(grpc.StatusCode.NOT_FOUND, f"no integration {id} {SECRET}")


def token(request, _):
    url = f"http://127.0.0.1:{port}"
    return auth_pb2.GetTokenResponse(
        access_token="t", token_type="Bearer", expires_in=3600, api_server=url, primary_environment=ENVIRONMENT,
        engines={ENVIRONMENT: url}, grpc_engines={ENVIRONMENT: url}, environment_id_to_name={ENVIRONMENT: "production"},
    )


def get(request, context):
    answer = pb.GetIntegrationResponse()
    answer.integration_with_secrets.integration.CopyFrom(known(request.integration_id, context))
    answer.integration_with_secrets.secrets.add(name="PGPASSWORD", value=SECRET)
    return answer


def by_name(request, context):
    found = [source for source in sources.values() if source.name == request.integration_name]
    return pb.GetIntegrationByNameResponse(integration=found[0] if found else None)


def update(request, context):
    source = known(request.integration_id, context)
    source.name = request.name or source.name
    return pb.UpdateIntegrationResponse(integration=source)


def delete(request, context):
    known(request.id, context)
    del sources[request.id]
    return pb.DeleteIntegrationResponse()


def test(request, context):
    good = not request.integration_id or known(request.integration_id, context).name != "broken"
    answer = pb.TestIntegrationResponse(
        kind="postgresql", success=good, message="ok" if good else f"cannot reach u:{SECRET}@db", latency_seconds=0.25
    )
    answer.preview_messages.add(value_base64=SECRET, topic=SECRET)
    return answer


def agent(request, context):
    return team_pb2.GetAgentResponse(agent=agent_pb2.Agent(service_token_agent=agent_pb2.ServiceTokenAgent(id=SECRET)))


METHODS = {
    "/chalk.server.v1.AuthService/GetToken": (auth_pb2.GetTokenRequest, token),
    "/chalk.server.v1.TeamService/GetAgent": (team_pb2.GetAgentRequest, agent),
    SERVICE + "ListIntegrations": (
        pb.ListIntegrationsRequest, lambda *_: pb.ListIntegrationsResponse(integrations=sources.values())),
    SERVICE + "ListIntegrationsAndSecrets": (
        pb.ListIntegrationsAndSecretsRequest,
        lambda *_: pb.ListIntegrationsAndSecretsResponse(custom_secrets=[{"name": "x", "value": SECRET}])),
    SERVICE + "GetIntegrationValue": (
        pb.GetIntegrationValueRequest, lambda *_: pb.GetIntegrationValueResponse(secretvalue={"value": SECRET})),
    SERVICE + "GetIntegration": (pb.GetIntegrationRequest, get),
    SERVICE + "GetIntegrationByName": (pb.GetIntegrationByNameRequest, by_name),
    SERVICE + "InsertIntegration": (
        pb.InsertIntegrationRequest,
        lambda request, _: pb.InsertIntegrationResponse(integration=add(request.name, request.integration_kind))),
    SERVICE + "UpdateIntegration": (pb.UpdateIntegrationRequest, update),
    SERVICE + "DeleteIntegration": (pb.DeleteIntegrationRequest, delete),
    SERVICE + "TestIntegration": (pb.TestIntegrationRequest, test),
}


class Rpc(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method not in METHODS:
            return None
        kind, answer = METHODS[details.method]
        head = {name: value for name, value in details.invocation_metadata if isinstance(value, str)}

        def call(bytes, context):
            request = kind.FromString(bytes)
            told = {"method": details.method, "request": MessageToDict(request, preserving_proto_field_name=True), "head": head}
            with open(log, "a") as out:
                out.write(json.dumps(told) + "\n")
            return answer(request, context).SerializeToString()

        return grpc.unary_unary_rpc_method_handler(call)


for name, kind in [("pg_main", 13), ("pg_pii", 13), ("broken", 11)]:
    add(name, kind)
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Rpc()])
assert server.add_insecure_port(f"127.0.0.1:{port}") == int(port)
server.start()
server.wait_for_termination()
