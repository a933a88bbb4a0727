"""Adds up the values of each sequence, by its correlation id: state that the requests of one sequence share."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        responses = []
        for request in requests:
            value = int(pb_utils.get_input_tensor_by_name(request, "VALUE").as_numpy().flatten()[0])
            start = int(pb_utils.get_input_tensor_by_name(request, "START").as_numpy().flatten()[0])
            sequence = int(pb_utils.get_input_tensor_by_name(request, "CORRID").as_numpy().flatten()[0])
            total = value if start else self.totals.get(sequence, 0) + value
            self.totals[sequence] = total
            tensor = pb_utils.Tensor("TOTAL", np.array([[total]], dtype=np.int32))
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
