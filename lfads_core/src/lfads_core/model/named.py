"""Modules by session name, with their type."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, ValuesView
from typing import Generic, TypeVar, cast

from torch import nn

P = TypeVar("P", bound=nn.Module)


class Named(nn.ModuleDict, Generic[P]):
    """One module per session; the names are the sessions'."""

    def __init__(self, modules: Mapping[str, P]) -> None:
        super().__init__(dict(modules))

    def __getitem__(self, key: str) -> P:
        """The session's module."""
        return cast("P", super().__getitem__(key))

    def values(self) -> ValuesView[P]:
        """All modules."""
        return cast("ValuesView[P]", super().values())

    def items(self) -> ItemsView[str, P]:
        """Names and modules."""
        return cast("ItemsView[str, P]", super().items())
