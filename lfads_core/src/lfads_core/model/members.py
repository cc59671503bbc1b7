"""What is written for one model, done for all members of a population: along a first axis M of its weights and of all it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, vmap


def each_member(part: nn.Module, call: Callable[..., Any], given: Mapping[str, Tensor], *, out_axis: int = 0) -> Any:
    """``call(**given)``, a method of ``part`` or what calls some, vectorised over the first axis of everything given and of the part's weights.

    The part's parameters and buffers must be in their places with this axis, as :func:`torch.func.functional_call` puts them there. The axis
    stands at ``out_axis`` of every tensor that is returned.
    """
    holder = _Holder(part, call)
    weights = {**dict(holder.named_parameters(remove_duplicate=False)), **dict(holder.named_buffers(remove_duplicate=False))}

    def of_one(own: dict[str, Tensor], of: dict[str, Tensor]) -> Any:
        return functional_call(holder, own, kwargs=of, tie_weights=False)

    return vmap(of_one, out_dims=out_axis)(weights, dict(given))


class _Holder(nn.Module):
    """Calls something of a part's while the part's weights are swapped."""

    def __init__(self, part: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.part, self._call = part, (call,)  # in a tuple: a module would be kept twice

    def forward(self, **given: Tensor) -> Any:
        (call,) = self._call
        return call(**given)
