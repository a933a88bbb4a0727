"""Calls a KServe service by grpcio's stubs with a client certificate, and a token or a key as grpcio's own call credentials.

usage: credentials_client.py SETTINGS     SETTINGS is JSON: url, serverName, ca, cert, key, model, stream, and token or apiKey
Prints `ok N` with the number of answers, or the name of the status that it got.
"""

import json
import pathlib
import sys

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


class ApiKey(grpc.AuthMetadataPlugin):
    def __init__(self, key):
        self.key = key

    def __call__(self, context, callback):
        callback((("x-api-key", self.key),), None)


def call_credentials(settings):
    if "token" in settings:
        return [grpc.access_token_call_credentials(settings["token"])]
    if "apiKey" in settings:
        return [grpc.metadata_call_credentials(ApiKey(settings["apiKey"]))]
    return []


def main():
    settings = json.loads(sys.argv[1])
    ca, key, cert = (pathlib.Path(settings[name]).read_bytes() for name in ("ca", "key", "cert"))
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    for each in call_credentials(settings):
        credentials = grpc.composite_channel_credentials(credentials, each)
    options = [("grpc.ssl_target_name_override", settings["serverName"])]
    request = service_pb2.ModelInferRequest(model_name=settings["model"])
    with grpc.secure_channel(settings["url"], credentials, options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            if settings["stream"]:
                answers = list(stub.ModelStreamInfer(iter([request, request]), timeout=20))
            else:
                answers = [stub.ModelInfer(request, timeout=20)]
            print(f"ok {len(answers)}")
        except grpc.RpcError as error:
            print(error.code().name)


main()
