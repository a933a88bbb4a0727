"""Answers one request with as many responses as it was asked to count: the decoupled transaction policy."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            start = int(pb_utils.get_input_tensor_by_name(request, "FROM").as_numpy()[0])
            for left in range(start - 1, -1, -1):
                tensor = pb_utils.Tensor("LEFT", np.array([left], dtype=np.int32))
                sender.send(pb_utils.InferenceResponse(output_tensors=[tensor]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
