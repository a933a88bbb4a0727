"""An engine of vLLM's protocol, by the stubs that vLLM's own router is generated from. It says what it is asked backwards.

usage: vllm_engine.py PORT     on 127.0.0.1
"""

import sys
from concurrent import futures

import grpc
from smg_grpc_proto.generated import common_pb2, vllm_engine_pb2, vllm_engine_pb2_grpc


class Engine(vllm_engine_pb2_grpc.VllmEngineServicer):
    def Generate(self, request, context):
        print("called Generate", flush=True)
        print(f"called {request.request_id}", flush=True)
        tokens = list(reversed(request.tokenized.input_ids))
        for token in tokens:
            chunk = vllm_engine_pb2.GenerateStreamChunk(token_ids=[token])
            yield vllm_engine_pb2.GenerateResponse(chunk=chunk)
        complete = vllm_engine_pb2.GenerateComplete(
            output_ids=tokens, finish_reason="stop", prompt_tokens=len(tokens), completion_tokens=len(tokens)
        )
        yield vllm_engine_pb2.GenerateResponse(complete=complete)

    def Embed(self, request, context):
        print("called Embed", flush=True)
        return vllm_engine_pb2.EmbedResponse(embedding=[float(token) for token in request.tokenized.input_ids])

    def GetModelInfo(self, request, context):
        print("called GetModelInfo", flush=True)
        return vllm_engine_pb2.GetModelInfoResponse(model_path="llama", vocab_size=128)

    def HealthCheck(self, request, context):
        return vllm_engine_pb2.HealthCheckResponse(healthy=True, message="well")

    def Abort(self, request, context):
        print("called Abort", flush=True)
        for name in request.request_ids:
            print(f"called abort of {name}", flush=True)
        return vllm_engine_pb2.AbortResponse()

    def FlushCache(self, request, context):
        print("called FlushCache", flush=True)
        return common_pb2.FlushCacheResponse()


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    vllm_engine_pb2_grpc.add_VllmEngineServicer_to_server(Engine(), server)
    server.start()
    server.wait_for_termination()


main()
