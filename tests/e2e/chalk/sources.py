"""Calls of the unmodified chalkpy about data sources, and about who it is.

usage: sources.py URL CLIENT, the secret in CHALK_SECRET; a list of [call, arguments] as JSON on stdin, one outcome for each
comes back. Run by test_chalk_sources.py.
"""

import json
import os
import sys

import grpc
from chalk._gen.chalk.server.v1 import integrations_pb2, team_pb2
from chalk.client import ChalkClient
from chalk.client.api import LinkedSecretRef
from google.protobuf.json_format import MessageToDict


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {name: str(field) for name, field in vars(value).items()} if hasattr(value, "__dict__") else value


def message(answer):
    return MessageToDict(answer, preserving_proto_field_name=True)


def outcome(client, call, arguments):
    sources = client.api.datasources
    refresher = sources._stub_refresher  # for what chalkpy has no call for, with the token and the metadata that it has
    config = arguments.get("config") or {}
    for name, value in config.items():
        config[name] = LinkedSecretRef(value["secret"]) if isinstance(value, dict) else value
    try:
        if call == "GetAgent":
            return {"result": message(refresher.call_team_stub(lambda stub: stub.GetAgent(team_pb2.GetAgentRequest())))}
        if hasattr(sources, call):
            return {"result": plain(getattr(sources, call)(**arguments))}
        request = getattr(integrations_pb2, f"{call}Request")(**arguments)
        return {"result": message(refresher.call_integrations_stub(lambda stub: getattr(stub, call)(request)))}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


url, name = sys.argv[1:]
client = ChalkClient(client_id=name, client_secret=os.environ["CHALK_SECRET"], api_server=url)
print(json.dumps([outcome(client, call, arguments) for call, arguments in json.load(sys.stdin)]))
