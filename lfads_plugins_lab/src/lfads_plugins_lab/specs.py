"""Records of the hooks that lfads-plugins-lab declares; importing them loads nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from lfads_core.plugins.specs import Spec, imported, is_function

if TYPE_CHECKING:
    from lfads_plugins_lab.foreign.reading import Reading


@frozen(kw_only=True)
class ForeignSettingsSpec(Spec):
    """One entry of ``lfads_foreign_settings``: settings of another implementation, for ``lfads config import``.

    ``known(data)`` counts how many of the file's keys are its own; the format that knows most of them is taken. ``translate(data, reading)`` puts
    them into our names (:class:`~lfads_plugins_lab.foreign.reading.Reading`), and says what it leaves and why. ``examples`` are keys by which a
    user recognises such a file, for messages; a last "..." says that there are more.
    """

    kind: ClassVar[str] = "foreign settings"
    known: Callable[[Mapping[str, Any]], int] = field(converter=imported, validator=is_function)
    translate: Callable[[Mapping[str, Any], Reading], None] = field(converter=imported, validator=is_function)
    examples: tuple[str, ...] = ()

    def usage(self) -> str:
        """The command that reads them."""
        return "lfads config import FILE"
