#!/usr/bin/env bash
# Builds shas for NVIDIA GPUs on a machine that needs neither a GPU nor CUDA: kernels/build.sh [CARGO ARGUMENTS]
#
# The compiler comes from PyPI into target/cuda/toolkit, the kernels go to target/cuda/kernels as fatbins (machine code
# for Hopper and Ampere, and PTX for what comes after). The binary, target/cuda/HOST/release/shas, holds them and names
# no CUDA library: it starts anywhere, and looks for the driver, libcublas.so.13 and libcurand.so.10 only when a GPU is
# asked for.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/target/cuda
toolkit=$build/toolkit
home=$toolkit/nvidia/cu13

if [ ! -e "$home/lib/stubs/libcuda.a" ]; then
    # 13.0 is the last release whose PTX driver 580 takes.
    python3 -m pip install --quiet --no-deps --upgrade --target "$toolkit" \
        nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    ln -sfn lib "$home/lib64"
    mkdir -p "$home/lib/stubs"
    # What is loaded at run time still has to be there for the linker.
    for library in nvrtc curand cublas cublasLt cuda; do
        ar rc "$home/lib/stubs/lib$library.a"
    done
    ln -sf ../libcudart_static.a "$home/lib/stubs/libcudart.a"
fi

export CUDA_HOME=$home CUDA_PATH=$home PATH=$home/bin:$PATH

export SHAS_KERNELS=$build/kernels
mkdir -p "$SHAS_KERNELS"
for source in kernels/*.cu; do
    fatbin=$SHAS_KERNELS/$(basename "$source" .cu).fatbin
    if [ -z "$(find "$fatbin" -newer "$source" 2>/dev/null)" ] || [ -n "$(find kernels -name '*.cuh' -newer "$fatbin")" ]; then
        nvcc -std=c++17 -O3 --fatbin -gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_80,code=sm_80 \
            -gencode=arch=compute_80,code=compute_80 -o "$fatbin" "$source"
    fi
done

export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
# cudarc links its libraries or loads them at run time. candle asks for the former; the flag makes it the latter, and
# naming the target keeps the flag from build scripts, which refuse both at once.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg feature=\"dynamic-loading\" -L native=$home/lib/stubs"
exec cargo "${CARGO_COMMAND:-build}" --release --features cuda --target-dir "$build" --target "$(rustc --print host-tuple)" "$@"
