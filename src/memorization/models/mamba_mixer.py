"""Our selective scan in the Mamba of transformers, without a change to that package.

The mixer calls the scan by a name of its module. A subclass has the same ``forward`` with another function under that
name, and the mixers of one model become instances of it: other models in the process stay as they are.
"""

import inspect
from functools import cache
from types import FunctionType

from torch import Tensor, nn
from torch.nn import functional as F

from memorization.models.selective_scan import selective_scan

SCAN, CONVOLUTION = "mamba_selective_scan", "causal_conv1d_fn"
SCANS = ("own", "mamba_ssm")


class UnknownMixer(RuntimeError):
    """The installed transformers has another Mamba mixer than this hook knows."""


def use_scan(model: nn.Module, scan: str) -> int:
    """Let all Mamba mixers of a model compute with one implementation of the scan.

    Parameters
    ----------
    model : of transformers; one without Mamba mixers is left as it is
    scan : ``own``, the same bytes each time; or ``mamba_ssm``, what transformers uses by itself: the kernels of
        mamba-ssm on a GPU where they are installed, whose backward pass adds in an order that changes

    Returns
    -------
    How many mixers there are.

    Raises
    ------
    ValueError
        If ``scan`` is another.
    UnknownMixer
        If transformers' mixer calls no such scan.
    """
    if scan not in SCANS:
        raise ValueError(f"scan: {scan!r} is not one of {', '.join(SCANS)}")
    mixers = [module for module in model.modules() if type(module).__name__ == "MambaMixer"]
    for mixer in mixers if scan == "own" else ():
        mixer.__class__ = own_mixer(type(mixer))
    return len(mixers)


@cache
def own_mixer(mixer: type) -> type:
    """A subclass of transformers' ``MambaMixer`` with our scan.

    Raises
    ------
    UnknownMixer
        See ``use_scan``.
    """
    forward = inspect.unwrap(mixer.forward)
    called = forward.__code__.co_names
    for name in (SCAN, CONVOLUTION):
        if name not in called or name not in forward.__globals__:
            import transformers

            raise UnknownMixer(
                f"transformers {transformers.__version__}: MambaMixer.forward calls no {name}; use the version of "
                "requirements.lock, or scan: mamba_ssm"
            )
    names = forward.__globals__ | {SCAN: scan_of_mixer, CONVOLUTION: convolution, "mamba_inner_fn": not_fused}
    own = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    return type("OwnScanMixer", (mixer,), {"forward": own, "__doc__": f"{mixer.__name__} with our scan."})


def scan_of_mixer(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **_,
) -> Tensor | tuple[Tensor, Tensor]:
    """``selective_scan`` as transformers calls it: with a bias of the step sizes, softplus, and a gate.

    Layouts: hidden states, step sizes and gate (batch, d_inner, length); B and C (batch, state, length).
    """
    if delta_bias is not None:
        dt = dt + delta_bias.to(dt.dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    y, last = selective_scan(hidden_states, dt, A, B, C, D, return_last_state=True)
    if z is not None:
        y = y * F.silu(z)
    return (y, last) if return_last_state else y


def convolution(hidden_states: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None, **_):
    """The causal depthwise convolution, (batch, d_inner, length): a shifted copy a place of the kernel.

    Not transformers' own, which may be a kernel of the hub that adds in an order that changes.
    """
    length, width = hidden_states.shape[-1], weight.shape[-1]
    padded = F.pad(hidden_states.to(weight.dtype), (width - 1, 0))
    out = sum(padded[..., place : place + length] * weight[:, place, None] for place in range(width))
    if bias is not None:
        out = out + bias[:, None]
    return (F.silu(out) if activation in ("silu", "swish") else activation_of(activation)(out)).to(hidden_states.dtype)


def activation_of(name: str | None):
    """An activation by transformers' name; None for none."""
    from transformers.activations import ACT2FN

    return ACT2FN[name] if name else nn.Identity()


def not_fused(*_, **__) -> None:
    """In the place of the fused kernel of mamba-ssm, which would pass our scan by: there is none."""
