"""Fused kernels: a faster way to the same numbers, never needed for correctness.

``gpu`` runs all loops of a program and its gradient in Triton, ``cpu`` in C++ compiled on the
spot. Both take the weights as ``folding`` prepares them, in the padded shapes of ``shape``; their
plain twin is ``looped.training.stacked_model``.
"""
