"""Drives an unmodified tritonclient through a list of steps and prints one line of JSON for each.

usage: triton_client.py SETTINGS     SETTINGS is JSON: url, serverName, ca, cert, key, steps
A step is [name, argument…]; the answer is {"step", "ok": true, "value"} or {"step", "ok": false, "status", "message"}.
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

ANSWER_TIMEOUT_SECONDS = 20


def tensor(name, values, numpy_type, datatype):
    data = np.array(values, dtype=numpy_type)
    given = grpcclient.InferInput(name, list(data.shape), datatype)
    given.set_data_from_numpy(data)
    return given


def add_sub(left, right):
    return [tensor("INPUT0", left, np.float32, "FP32"), tensor("INPUT1", right, np.float32, "FP32")]


def infer(client, model, left, right, compression=None):
    result = client.infer(model, add_sub(left, right), compression_algorithm=compression)
    return {"sum": result.as_numpy("SUM").tolist(), "difference": result.as_numpy("DIFFERENCE").tolist()}


def infer_large(client, model, count):
    """Adds two long tensors; the answer is whether every element of it is right."""
    left = np.arange(count, dtype=np.float32)
    result = client.infer(model, add_sub(left, left))
    return bool(np.array_equal(result.as_numpy("SUM"), left + left))


def stream(client, model, start):
    """One request, many responses: what the decoupled model counts down."""
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    try:
        client.async_stream_infer(model, [tensor("FROM", [start], np.int32, "INT32")])
        counted = []
        for _ in range(start):
            result, error = answers.get(timeout=ANSWER_TIMEOUT_SECONDS)
            if error is not None:
                raise error
            counted.append(int(result.as_numpy("LEFT")[0]))
        return counted
    finally:
        client.stop_stream()


def sequence(client, model, sequence_id, value, start=False, end=False, request_id="", compression=None):
    """One request of a sequence; the answer is its total so far, and the request's id as the response has it."""
    data = np.array([[value]], dtype=np.int32)
    given = grpcclient.InferInput("VALUE", [1, 1], "INT32")
    given.set_data_from_numpy(data)
    result = client.infer(
        model,
        [given],
        request_id=request_id,
        sequence_id=sequence_id,
        sequence_start=start,
        sequence_end=end,
        compression_algorithm=compression,
    )
    return [int(result.as_numpy("TOTAL").flatten()[0]), result.get_response().id]


def sequence_stream(client, model, sequence_id, values, request_id):
    """A whole sequence in one stream."""
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    try:
        seen = []
        for at, value in enumerate(values):
            given = grpcclient.InferInput("VALUE", [1, 1], "INT32")
            given.set_data_from_numpy(np.array([[value]], dtype=np.int32))
            client.async_stream_infer(
                model, [given], request_id=request_id, sequence_id=sequence_id, sequence_start=at == 0
            )
        for _ in values:
            result, error = answers.get(timeout=ANSWER_TIMEOUT_SECONDS)
            if error is not None:
                raise error
            seen.append([int(result.as_numpy("TOTAL").flatten()[0]), result.get_response().id])
        return seen
    finally:
        client.stop_stream()


def region_register(client, name, key, values):
    """Makes a shared memory object of these values, and registers it."""
    data = np.array(values, dtype=np.float32)
    handle = shm.create_shared_memory_region(name, key, data.nbytes)
    shm.set_shared_memory_region(handle, [data])
    client.register_system_shared_memory(name, key, data.nbytes)


def region_infer(client, model, name, count):
    """Adds a tensor in shared memory and a tensor of ones."""
    left = grpcclient.InferInput("INPUT0", [count], "FP32")
    left.set_shared_memory(name, count * 4)
    right = tensor("INPUT1", [1.0] * count, np.float32, "FP32")
    return client.infer(model, [left, right]).as_numpy("SUM").tolist()


STEPS = {
    "sequence": sequence,
    "sequence_stream": sequence_stream,
    "region_register": region_register,
    "region_infer": region_infer,
    "region_unregister": lambda client, name="": client.unregister_system_shared_memory(name),
    "live": lambda client: client.is_server_live(),
    "metadata": lambda client: client.get_server_metadata(as_json=True),
    "model_metadata": lambda client, model: client.get_model_metadata(model, as_json=True),
    "model_config": lambda client, model: client.get_model_config(model, as_json=True),
    "model_ready": lambda client, model: client.is_model_ready(model),
    "statistics": lambda client, model: client.get_inference_statistics(model, as_json=True),
    "load": lambda client, model: client.load_model(model),
    "unload": lambda client, model: client.unload_model(model),
    "index": lambda client: client.get_model_repository_index(as_json=True),
    "shared_memory": lambda client: client.get_system_shared_memory_status(as_json=True),
    "infer": infer,
    "infer_large": infer_large,
    "stream": stream,
}


def main():
    settings = json.loads(sys.argv[1])
    client = grpcclient.InferenceServerClient(
        settings["url"],
        ssl=True,
        root_certificates=settings["ca"],
        private_key=settings["key"],
        certificate_chain=settings["cert"],
        # The client sets its message limits itself only when it is given no other arguments.
        channel_args=[
            ("grpc.ssl_target_name_override", settings["serverName"]),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ],
    )
    for name, *arguments in settings["steps"]:
        try:
            answer = {"step": name, "ok": True, "value": STEPS[name](client, *arguments)}
        except InferenceServerException as error:
            answer = {"step": name, "ok": False, "status": error.status(), "message": error.message()}
        print(json.dumps(answer), flush=True)
    client.close()


main()
