"""How fast devices could compute at best, of vendors' data sheets."""

PEAK = {  # TFLOP/s of products in float32 without TF32, and in bfloat16 without sparsity
    "NVIDIA H200": (67, 989),
    "NVIDIA H100 80GB HBM3": (67, 989),
    "NVIDIA H100 PCIe": (51, 756),
    "NVIDIA A100-SXM4-80GB": (19.5, 312),
    "NVIDIA A100-SXM4-40GB": (19.5, 312),
    "NVIDIA A100 80GB PCIe": (19.5, 312),
    "NVIDIA L40S": (91.6, 362),
}
