"""Attention of PyTorch on a GPU, to set beside `cargo bench --bench cuda`: python3 tests/bench/cuda_peers.py

12 heads of 64 dimensions, bf16, medians. FlexAttention reads 20 random blocks of 128 keys for each block of 128 queries
(2,560 keys a query, as our window and selection); what chooses them is not counted.
"""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

HEADS, SIZE, BLOCK, SEEN = 12, 64, 128, 20


def median_ms(run, repeats):
    for _ in range(min(repeats, 3)):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def backward_ms(out, inputs, repeats):
    d_out = torch.randn_like(out)
    return median_ms(lambda: torch.autograd.grad(out, inputs, d_out, retain_graph=True), repeats)


def report(name, n_tokens, ms, keys, passes=1.0):
    tflops = passes * 4 * HEADS * n_tokens * keys * SIZE / ms / 1e9
    print(f"{name:28} {n_tokens:8} tokens {ms:10.3f} ms {tflops:6.0f} TFLOP/s", flush=True)


def random_blocks(n_tokens):
    n_blocks = n_tokens // BLOCK
    lists = torch.zeros(1, 1, n_blocks, n_blocks, device="cuda", dtype=torch.int32)
    lists[..., :SEEN] = torch.randint(0, n_blocks, (n_blocks, SEEN), device="cuda")
    counts = torch.full((1, 1, n_blocks), SEEN, device="cuda", dtype=torch.int32)
    return BlockMask.from_kv_blocks(counts, lists, BLOCK_SIZE=BLOCK, compute_q_blocks=False)


def main():
    print(torch.cuda.get_device_name(0), "torch", torch.__version__)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    ms = median_ms(lambda: a @ a, 10)
    print(f"matrix product of 8,192³: {2 * 8192**3 / ms / 1e9:.0f} TFLOP/s")
    flex = torch.compile(flex_attention, dynamic=False)
    for n_tokens in (32_768, 131_072, 1_048_576):
        shape = (1, HEADS, n_tokens, SIZE)
        q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        repeats = 10 if n_tokens <= 32_768 else 3
        if n_tokens <= 131_072:
            for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)):
                with sdpa_kernel(backend):
                    attend = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)
                    report(f"dense, {name}", n_tokens, median_ms(attend, repeats), n_tokens)
                    if name == "cuDNN":
                        report(f"dense, {name}, backward", n_tokens, backward_ms(attend(), (q, k, v), repeats), n_tokens, 2.5)
        mask = random_blocks(n_tokens)
        with torch.no_grad():
            report("FlexAttention", n_tokens, median_ms(lambda: flex(q, k, v, block_mask=mask), repeats), BLOCK * SEEN)


if __name__ == "__main__":
    main()
