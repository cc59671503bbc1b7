"""Modules by session name, with their type."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Generic, TypeVar, cast

from torch import nn

P = TypeVar("P", bound=nn.Module)

_TAKEN = frozenset(dir(nn.ModuleDict()))
_MARK = "@"  # stands in no session name


class Named(nn.ModuleDict, Generic[P]):
    """One module per session; the names are the sessions'.

    Torch keeps modules as attributes and refuses names that are attributes already, such as ``train``: in the state
    dict those stand as ``train@``.
    """

    def __init__(self, modules: Mapping[str, P]) -> None:
        super().__init__({_key(name): module for name, module in modules.items()})

    def __getitem__(self, key: str) -> P:
        """The session's module."""
        return cast("P", super().__getitem__(_key(key)))

    def __contains__(self, key: str) -> bool:
        """Whether the session has a module."""
        return super().__contains__(_key(key))

    def __iter__(self) -> Iterator[str]:
        """Names of the sessions."""
        return iter(self.keys())

    def keys(self) -> KeysView[str]:
        """Names of the sessions."""
        return dict(self.items()).keys()

    def values(self) -> ValuesView[P]:
        """All modules."""
        return cast("ValuesView[P]", super().values())

    def items(self) -> ItemsView[str, P]:
        """Names and modules."""
        return {name.removesuffix(_MARK): cast("P", module) for name, module in super().items()}.items()


def _key(name: str) -> str:
    return f"{name}{_MARK}" if name in _TAKEN else name
