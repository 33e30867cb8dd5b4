"""Fused kernels: a faster way to the same numbers, never needed for correctness.

``gpu`` runs all loops of a program and its gradient in Triton, on weights as ``folding`` prepares
them, in the padded shapes of ``shape``; ``cpu`` in C++ compiled on the spot, which folds by itself
and pads tokens alone. Their plain twin is ``looped.training.stacked_model``.
"""
