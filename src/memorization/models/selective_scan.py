"""Mamba's selective scan in plain torch, with a backward pass of its own (Gu & Dao 2023, arXiv 2312.00752).

State and input are discretized as h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t, and y_t = C_t · h_t + D u_t. Autograd through
a loop over t keeps a graph node a step and slices gradients of the whole sequence at each. Here a step is one
fused operation on contiguous memory, forward and backward, and all else is computed for a block of steps at once that
a processor's cache holds. Only the states are kept for the backward pass.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**18  # entries of the states of a block of steps, on a CPU: what its cache holds
ON_GPU = 2**26  # where the number of operations counts


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """What a selective state space makes of a sequence.

    Parameters
    ----------
    u : (batch, d_inner, length), the input
    delta : (batch, d_inner, length), step sizes, positive
    A : (d_inner, state), of the continuous state, negative
    B, C : (batch, state, length), from input to state and from state to output
    D : (d_inner,), from input to output directly; None for none
    initial_state : (batch, d_inner, state) before the first step; by default 0. A scan that begins with the last
        state of another goes on from it, gradients included
    return_last_state : whether the last state is returned too

    Returns
    -------
    y, (batch, d_inner, length), of the type of ``u``; with ``return_last_state`` also (batch, d_inner, state) float32.
    The scan itself is computed in float32, or in float64 if ``u`` is.
    """
    kind = torch.promote_types(u.dtype, torch.float32)
    steps_first = [each.permute(2, 0, 1).to(kind).contiguous() for each in (u, delta, B, C)]
    if initial_state is None:
        initial_state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1], dtype=kind)
    y, last = _Scan.apply(*steps_first, A.to(kind), initial_state.to(kind), torch.is_grad_enabled())
    y = y.permute(1, 2, 0).to(u.dtype)
    if D is not None:
        y = y + u * D[:, None].to(u.dtype)
    return (y, last) if return_last_state else y


class _Scan(torch.autograd.Function):
    """The recurrence. All tensors have the step first: u, Δ (L, b, d); B, C (L, b, n); A (d, n); states (b, d, n).

    ``needs_grad`` says whether gradients are wanted at all, which is not to be seen inside.
    """

    @staticmethod
    def forward(ctx, u, delta, B, C, A, initial, needs_grad):
        keeps = needs_grad and any(ctx.needs_input_grad)
        y, state = torch.empty_like(u), initial
        states = u.new_empty(*u.shape, A.shape[1]) if keeps else None
        for here in _blocks(u, A):
            of_block = torch.mul((delta[here] * u[here]).unsqueeze(-1), B[here].unsqueeze(2), out=_rows(states, here))
            decay = torch.exp(delta[here].unsqueeze(-1) * A)
            for decay_t, state_t in zip(decay.unbind(), of_block.unbind(), strict=True):
                state = state_t.addcmul_(decay_t, state)
            torch.matmul(of_block, C[here].unsqueeze(-1), out=y[here].unsqueeze(-1))
        if keeps:
            ctx.save_for_backward(u, delta, B, C, A, initial, states)
        return y, state.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y, of_last):
        u, delta, B, C, A, initial, states = ctx.saved_tensors
        of_u, of_delta, of_B, of_C = (torch.empty_like(each) for each in (u, delta, B, C))
        of_A, of_state = torch.zeros_like(A), of_last
        of_y = of_y.contiguous()
        for here in reversed(_blocks(u, A)):
            decay = torch.exp(delta[here].unsqueeze(-1) * A)
            of_block = of_y[here].unsqueeze(-1) * C[here].unsqueeze(2)
            of_block[-1] += of_state
            later = of_block[-1]
            for decay_after, of_t in zip(reversed(decay[1:].unbind()), reversed(of_block[:-1].unbind()), strict=True):
                later = of_t.addcmul_(decay_after, later)
            of_state = decay[0] * of_block[0]
            of_C[here] = (of_y[here].unsqueeze(2) @ states[here]).squeeze(2)
            of_B[here] = ((delta[here] * u[here]).unsqueeze(2) @ of_block).squeeze(2)
            of_input = (of_block @ B[here].unsqueeze(-1)).squeeze(-1)  # of Δ u
            of_exponent = decay.mul_(of_block)  # of Δ A, once the state before is multiplied
            of_exponent[1:] *= states[here.start : here.stop - 1]
            of_exponent[0] *= states[here.start - 1] if here.start else initial
            of_A += torch.mul(of_exponent, delta[here].unsqueeze(-1), out=of_block).sum(dim=(0, 1))
            of_u[here] = of_input * delta[here]
            of_delta[here] = of_exponent.mul_(A).sum(dim=-1).addcmul_(of_input, u[here])
        return of_u, of_delta, of_B, of_C, of_A, of_state, None


def _blocks(u: Tensor, A: Tensor) -> list[slice]:
    """Steps that are computed together."""
    most = BLOCK if u.device.type == "cpu" else ON_GPU
    length, size = len(u), max(1, most // (u[0].numel() * A.shape[1]))
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def _rows(states: Tensor | None, here: slice) -> Tensor | None:
    """Where the states of a block are kept; None for nowhere."""
    return None if states is None else states[here]
