"""Trains the demo's three models and writes them, with provenance and held-out samples, to src/demo/models/.

    python3 -m venv /tmp/train && /tmp/train/bin/pip install scikit-learn==1.9.1 onnx==1.23.2
    /tmp/train/bin/python test/train/train_models.py

The data sets come inside the scikit-learn wheel: nothing is downloaded. Every random choice has a fixed seed, so a second
run with the same versions writes the same bytes. Each model is one ONNX graph from raw features to `probabilities` and
`label`: the scaling that training used is part of the graph, and the batch axis is dynamic.
"""

import hashlib
import json
import pathlib
import platform

import numpy as np
import onnx
import sklearn
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 20260101
HELD_OUT = 0.25
OUT = pathlib.Path(__file__).resolve().parents[2] / "src" / "demo" / "models"

MODELS = [
    {
        "name": "digits",
        "load": load_digits,
        "input": "pixels",
        "hidden": (128,),
        "alpha": 0.5,
        "scale": "constant",
        "samples_per_class": 2,
        "does": "reads a handwritten digit from 8x8 pixels of 0..16",
        "data": {
            "title": "Optical Recognition of Handwritten Digits (the 1797 digits of its test set, by 13 writers)",
            "authors": "E. Alpaydin, C. Kaynak (1998)",
            "source": "UCI Machine Learning Repository, https://doi.org/10.24432/C50P49",
            "shipped_in": "sklearn.datasets.load_digits",
            "licence": "CC BY 4.0",
        },
        "labels": [str(n) for n in range(10)],
    },
    {
        "name": "wine-cultivar",
        "load": load_wine,
        "input": "analysis",
        "hidden": (16,),
        "alpha": 1.0,
        "scale": "standard",
        "samples_per_class": 2,
        "does": "tells from 13 chemical measurements which of three cultivars a wine was pressed from",
        "data": {
            "title": "Wine (chemical analysis of 178 wines of one region of Italy, three cultivars)",
            "authors": "S. Aeberhard, M. Forina (1991)",
            "source": "UCI Machine Learning Repository, https://doi.org/10.24432/C5PC7J",
            "shipped_in": "sklearn.datasets.load_wine",
            "licence": "CC BY 4.0",
        },
        "labels": ["cultivar 1", "cultivar 2", "cultivar 3"],
    },
    {
        "name": "breast-cancer",
        "load": load_breast_cancer,
        "input": "nuclei",
        "hidden": (16,),
        "alpha": 1.0,
        "scale": "standard",
        "samples_per_class": 2,
        "does": "tells from 30 measurements of cell nuclei whether a breast mass is malignant (an example, not a medical device)",
        "data": {
            "title": "Breast Cancer Wisconsin (Diagnostic), 569 fine-needle aspirates",
            "authors": "W. Wolberg, O. Mangasarian, N. Street, W. Street (1995)",
            "source": "UCI Machine Learning Repository, https://doi.org/10.24432/C5DW2B",
            "shipped_in": "sklearn.datasets.load_breast_cancer",
            "licence": "CC BY 4.0",
        },
        "labels": ["malignant", "benign"],
    },
]


def scaling(kind, train):
    """Mean and deviation by which features are scaled. Digits share one scale, so that a blank border stays blank."""
    if kind == "constant":
        return np.zeros(train.shape[1]), np.full(train.shape[1], 16.0)
    return train.mean(axis=0), train.std(axis=0)


def weights(classifier):
    """Layers as (W, b) pairs, with the two-class model's single logistic unit written as a softmax over two."""
    layers = list(zip(classifier.coefs_, classifier.intercepts_))
    weight, bias = layers[-1]
    if weight.shape[1] == 1:
        layers[-1] = (np.hstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias]))
    return layers


def graph(spec, mean, deviation, layers):
    """features -> (x - mean) / deviation -> Gemm, Relu, ..., Gemm -> Softmax -> probabilities; ArgMax -> label."""
    width, classes = layers[0][0].shape[0], len(spec["labels"])
    nodes = [
        helper.make_node("Sub", [spec["input"], "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["h0"]),
    ]
    tensors = {"mean": mean, "deviation": deviation}
    for index, (weight, bias) in enumerate(layers):
        last = index == len(layers) - 1
        tensors[f"W{index}"], tensors[f"b{index}"] = weight, bias
        out = "scores" if last else f"g{index}"
        nodes.append(helper.make_node("Gemm", [f"h{index}", f"W{index}", f"b{index}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"h{index + 1}"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0))
    made = helper.make_graph(
        nodes,
        spec["name"],
        [helper.make_tensor_value_info(spec["input"], TensorProto.FLOAT, ["batch", width])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in tensors.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], producer_name="bulkhead-demo")
    model.ir_version = 9
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def forward(mean, deviation, layers, features):
    """What the graph computes, in float32, so that the accuracy written down is that of the file and not of the trainer."""
    values = (features.astype(np.float32) - mean.astype(np.float32)) / deviation.astype(np.float32)
    for index, (weight, bias) in enumerate(layers):
        values = values @ weight.astype(np.float32) + bias.astype(np.float32)
        if index < len(layers) - 1:
            values = np.maximum(values, 0)
    return values.argmax(axis=1)


def held_out_samples(spec, features, truth):
    """The first samples of each class in the held-out set: taken by position, whether the model gets them right or not."""
    rows = []
    for label in range(len(spec["labels"])):
        rows += np.flatnonzero(truth == label)[: spec["samples_per_class"]].tolist()
    return [{"truth": int(truth[row]), "features": [float(v) for v in features[row]]} for row in rows]


def train(spec):
    bunch = spec["load"]()
    split = train_test_split(bunch.data, bunch.target, test_size=HELD_OUT, random_state=SEED, stratify=bunch.target)
    train_x, test_x, train_y, test_y = split
    mean, deviation = scaling(spec["scale"], train_x)
    classifier = MLPClassifier(spec["hidden"], alpha=spec["alpha"], max_iter=3000, random_state=SEED)
    classifier.fit((train_x - mean) / deviation, train_y)
    layers = weights(classifier)
    correct = int((forward(mean, deviation, layers, test_x) == test_y).sum())
    content = graph(spec, mean, deviation, layers)
    (OUT / f"{spec['name']}.onnx").write_bytes(content)
    return {
        "name": spec["name"],
        "does": spec["does"],
        "file": f"{spec['name']}.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "labels": spec["labels"],
        "heldOut": {"samples": len(test_y), "correct": correct, "accuracy": round(correct / len(test_y), 4)},
        "trainedOn": len(train_y),
        "data": spec["data"],
        "trainer": f"test/train/train_models.py, seed {SEED}, Python {platform.python_version()}, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}, onnx {onnx.__version__}: MLP with {'+'.join(map(str, spec['hidden']))} hidden units",
    }, held_out_samples(spec, test_x, test_y)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    provenance, samples = [], {}
    for spec in MODELS:
        entry, rows = train(spec)
        provenance.append(entry)
        samples[spec["name"]] = rows
        print(f"{entry['name']:<15} {entry['heldOut']['correct']}/{entry['heldOut']['samples']} held out right, {entry['bytes']} bytes")
    (OUT / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
    (OUT / "held-out.json").write_text(json.dumps(samples) + "\n")


main()
