"""TensorFlow Serving's protocol by pythie-serving: two models that look a number up in a table.

usage: table_server.py PORT DIRECTORY     on 127.0.0.1; its own start listens on every address
"""

import json
import pathlib
import sys
from concurrent import futures

import grpc
from pythie_serving.table_wrapper import TablePredictionServiceServicer
from pythie_serving.tensorflow_proto.tensorflow_serving.apis import prediction_service_pb2_grpc
from pythie_serving.tensorflow_proto.tensorflow_serving.config import model_server_config_pb2

MODELS = ["fraud", "secret"]


class Servicer(TablePredictionServiceServicer):
    def Predict(self, request, context):
        print(f"called {request.model_spec.name}", flush=True)
        return super().Predict(request, context)


def main():
    port, directory = sys.argv[1:]
    folder = pathlib.Path(directory)
    metadata = {"feature_names": ["key"], "target_name": "value", "data_type": {"key": "int", "value": "int"}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    for model in MODELS:
        (folder / f"{model}.csv").write_text("key,value\n" + "".join(f"{key},{key * key}\n" for key in range(1000)))
    config = model_server_config_pb2.ModelServerConfig()
    for model in MODELS:
        config.model_config_list.config.add(name=model, base_path=directory, model_platform="table")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_insecure_port(f"127.0.0.1:{port}")
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(model_server_config=config), server)
    server.start()
    server.wait_for_termination()


main()
