"""KServe's own gRPC servicer with three models that answer with what they were sent.

usage: kserve_server.py PORT     on 127.0.0.1; its own start listens on every address
"""

import asyncio
import sys

from grpc import aio
from kserve import InferOutput, InferResponse, Model
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension


class Echo(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        print(f"called {self.name}", flush=True)
        print(f"called {payload.id}", flush=True)
        outputs = [
            InferOutput(name=given.name, shape=given.shape, datatype=given.datatype, data=given.data)
            for given in payload.inputs
        ]
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=outputs)


async def main():
    models = ModelRepository()
    for name in ["echo", "spare", "secret"]:
        models.update(Echo(name))
    server = aio.server(interceptors=(ExceptionToStatusInterceptor(),))
    servicer = InferenceServicer(DataPlane(models), ModelRepositoryExtension(models))
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
