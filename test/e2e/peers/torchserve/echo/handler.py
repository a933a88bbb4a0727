"""A model that answers with what it was sent, by TorchServe's own protocol and by the Open Inference Protocol.

An input called `twice` makes it answer a stream with two responses.
"""

import json

from ts.handler_utils.utils import send_intermediate_predict_response


def handle(data, context):
    if data is None:
        return None
    print(f"called {context.manifest['model']['modelName']}", flush=True)
    answers = [answer(row.get("data") or row.get("body"), context) for row in data]
    if "twice" in data[0]:
        send_intermediate_predict_response(answers, context.request_ids, "first", 200, context)
    return answers


def answer(body, context):
    if not isinstance(body, dict):
        return bytes(body)
    model = context.manifest["model"]
    whole = {"model_name": model["modelName"], "model_version": model["modelVersion"], "id": body["id"]}
    return json.dumps({**whole, "outputs": body["inputs"]})
