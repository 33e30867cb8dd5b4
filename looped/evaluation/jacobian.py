"""The eigenvalues of one loop's Jacobian, exactly.

The map is z -> f(z + p) with the prompt p fixed. Attention is causal: a token's new state depends
on itself and on earlier tokens. So the Jacobian is block triangular, and its eigenvalues are those
of its diagonal blocks, one of width n_embd for each token: how the token's new state depends on
its own old one while the others' stay. All blocks come from n_embd products, each of which takes a
row of every block at once, and their eigenvalues from LAPACK. Power iteration would need no
blocks, but does not converge where the leading eigenvalues are a complex pair, and is slow where
many nearly coincide, as those of neighbouring tokens do.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from looped.model import Block, LoopedTransformer


@torch.enable_grad()
def eigenvalues(
    model: LoopedTransformer,
    z: Float[Tensor, "batch token embd"],
    p: Float[Tensor, "batch token embd"],
) -> Complex[Tensor, "batch token embd"]:
    """Return the eigenvalues of the Jacobian of z -> f(z + p) at z, those of each token's block.

    Args:
        model: a looped one; of an untied one it is the first stack's.
        z: states to differentiate at.
        p: the embedded prompts.

    Returns:
        All of them, on the CPU in double precision.

    Example:
        >>> from looped import SIZES
        >>> model = LoopedTransformer(SIZES["nano"], n_dims=2, n_points=4)
        >>> z = p = torch.randn(5, 4, 12)
        >>> eigenvalues(model, z, p).shape
        torch.Size([5, 4, 12])
    """
    z = z.detach().requires_grad_()
    new = _loop_of_each(model, z, p)
    rows = [
        torch.autograd.grad(new[..., axis].sum(), z, retain_graph=True)[0]
        for axis in range(z.shape[-1])
    ]
    blocks = torch.stack(rows, dim=-2)  # (B, L, E, E)
    return torch.linalg.eigvals(blocks.double().cpu())  # type: ignore[no-any-return]


def spectral_radii(
    model: LoopedTransformer,
    z: Float[Tensor, "batch token embd"],
    p: Float[Tensor, "batch token embd"],
) -> Float[Tensor, " batch"]:
    """Return the largest absolute eigenvalue for each prompt; see ``eigenvalues``."""
    return eigenvalues(model, z, p).abs().flatten(1).amax(dim=1)


def _loop_of_each(model: LoopedTransformer, z: Tensor, p: Tensor) -> Tensor:
    """Apply a loop whose every token depends, for autograd, on its own old state alone."""
    z = z + (p + model.positions.weight[: p.shape[1]]).detach()
    for block in model.blocks:
        assert isinstance(block, Block)
        z = z + block.attention_out(_attend(block, block.qkv(block.attention_norm(z))))
        hidden = functional.gelu(block.mlp_in(block.mlp_norm(z)), approximate="tanh")
        z = z + block.mlp_out(hidden)
    return model.final_norm(z)  # type: ignore[no-any-return]


def _attend(block: Block, qkv: Tensor) -> Tensor:
    """Attend as ``Block`` does, with a gradient through each token's own key and value alone."""
    batch, tokens, width = qkv.shape
    split = qkv.view(batch, tokens, 3, block.n_head, width // (3 * block.n_head))
    q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, H, L, D)
    is_itself = torch.eye(tokens, dtype=torch.bool, device=qkv.device)
    past = torch.ones(tokens, tokens, dtype=torch.bool, device=qkv.device).tril(-1)
    scores = q @ k.detach().transpose(-1, -2)
    scores = torch.where(is_itself, (q * k).sum(dim=-1, keepdim=True), scores)
    scores = (scores * q.shape[-1] ** -0.5).masked_fill(~(is_itself | past), -torch.inf)
    shares = scores.softmax(dim=-1)
    heads = (shares * past) @ v.detach() + torch.diagonal(shares, dim1=-2, dim2=-1)[..., None] * v
    return heads.transpose(1, 2).flatten(-2)  # type: ignore[no-any-return]
