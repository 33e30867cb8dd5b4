"""Fused GPU kernels: a faster way to the same numbers, never needed for correctness.

``chain`` runs all loops of a program and its gradient through two Triton kernels (``block``),
whose plain twin is ``replicas``.
"""
