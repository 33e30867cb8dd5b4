"""Triton kernels: all loops of a program in bfloat16 on a GPU."""
