"""Passes of a validation captured once and replayed, as training steps are (:mod:`lfads_core.train.captured`).

What a pass draws and hides is drawn before it, and ramps are laid on what it came to: nothing but trials and noise differs from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from lfads_core.model.rows import tensors_in
from lfads_core.train.evaluate import PricedPass, Tally, ValidationPass, price_each
from lfads_core.train.filled import Fill, Sizes, counts_of, may_be_filled
from lfads_core.train.graphs import Capturable, Captured, Forms, Graph, form_of, world_of

Given = tuple[Any, ...]
"""What a pass reads: trials as they are and as the model sees them, noise, masks."""


class PassGraphs:
    """Captured passes by their form; ``new_graph`` makes what captures one."""

    def __init__(self, new_graph: Callable[[], Graph]) -> None:
        self._forms: Forms[Captured[list[PricedPass]]] = Forms(new_graph, "pass of a validation")
        self._sizes: dict[int, Sizes] = {}

    def price(self, tallies: Sequence[Tally], passes: Sequence[ValidationPass]) -> list[PricedPass] | None:
        """What everybody's pass came to; None if it must be priced otherwise. A failure is said once and ends all capturing of passes."""
        return self._forms.attempt(partial(self._price, tallies, passes))

    def _price(self, tallies: Sequence[Tally], passes: Sequence[ValidationPass]) -> list[PricedPass] | None:
        given = self._of_one_size(tallies, passes)
        form = tuple((form_of(own), tally.predict) for own, tally in zip(given, tallies, strict=True))
        captured = self._forms.at(tuple(map(_world, tallies)), form, partial(Captured, given))
        if captured is None:
            return None
        work = Capturable(on_buffers=partial(_priced, tallies), plainly=partial(_plainly, tallies, passes), changes=list, numbers=_numbers)
        return captured(given, work)

    @property
    def proved(self) -> int:
        """Forms of a pass whose replay has agreed with the pass itself."""
        return self._forms.count(lambda one: one.proved)

    def _of_one_size(self, tallies: Sequence[Tally], passes: Sequence[ValidationPass]) -> list[Given]:
        """What passes read, filled up to the largest so far if some were larger and trials can be left out of all means."""
        sizes = [self._sizes.setdefault(id(tally.validator), Sizes()) for tally in tallies]
        changed = [of.see(one.raw) for of, one in zip(sizes, passes, strict=True)]
        if any(changed):
            self._forms.forget()
        plain = [(one.raw, one.batches, one.noise, one.kept) for one in passes]
        if not any(of.differ for of in sizes) or not all(may_be_filled(tally.model, tally.validator.stack) for tally in tallies):
            return plain
        found = [_filled(one, of.most) for one, of in zip(passes, sizes, strict=True)]
        done = [one for one in found if one is not None]
        return done if len(done) == len(plain) else plain


def _filled(one: ValidationPass, most: Mapping[str, int]) -> Given | None:
    fill = Fill(have=counts_of(one.raw), want={name: most[name] for name in one.raw})
    if not fill.fits([one.raw, one.batches, one.kept or {}], one.noise):
        return None
    return fill.of_sessions(one.raw), fill.of_sessions(one.batches), fill.of_all(one.noise), one.kept and fill.of_sessions(one.kept)


def _priced(tallies: Sequence[Tally], given: Sequence[Given]) -> list[PricedPass]:
    return _plainly(tallies, [ValidationPass(raw=raw, batches=batches, noise=noise, kept=kept, seen={}) for raw, batches, noise, kept in given])


def _plainly(tallies: Sequence[Tally], passes: Sequence[ValidationPass]) -> list[PricedPass]:
    return list(price_each(dict(enumerate(tallies)), dict(enumerate(passes)), None).values())


def _numbers(priced: Sequence[PricedPass]) -> list[Tensor]:
    """All but expected values, whose trials may be more than were asked for."""
    return list(tensors_in([replace(one, means={}) for one in priced]))


def _world(tally: Tally) -> Hashable:
    return id(tally.validator), world_of(tally.model)
