"""A registry with plugins of our own, so that these tests need no other distribution."""

from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs import frozen
from attrs import validators as v

from lfads_core import builtin
from lfads_core.config.fields import above, setting, share
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import (
    AugmentationSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
)


@frozen(kw_only=True)
class Window:
    start: int = setting(0, "first bin", unit="bins")
    stop: int | None = setting(None, "bin after the last (null: the end)", unit="bins")


@frozen(kw_only=True)
class ZigSettings:
    gamma_loc: float = setting(0.1, "smallest event", rule=above(0), unit="a.u.", tune="often")
    scale: float = setting(1.0, "initial scale")
    window: Window | None = setting(None, "bins that count (null: all)")


@frozen(kw_only=True)
class DropoutSettings:
    rate: float = setting(0.3, "share hidden", rule=share())
    ceiling: float = setting(0.9, "largest share", rule=share())

    def rules(self) -> list[str]:
        return [f"rate: must not be above ceiling ({self.ceiling}), got {self.rate!r}"] if self.rate > self.ceiling else []


@frozen(kw_only=True)
class EverySetting:
    """One setting of every type, most of them declared in plain attrs."""

    flag: bool = False
    count: int = attrs.field(default=3, validator=v.gt(0))
    both: float = attrs.field(default=0.5, validator=[v.gt(0), v.lt(1)])
    word: str = ""
    path: Path = Path("here")
    choice: Literal["one", 1] | None = "one"
    maybe: int | None = None
    either: float | str = 1.0
    pair: tuple[int, str] = (1, "a")
    many: tuple[float, ...] = ()
    row: list[int] = attrs.field(factory=list)
    table: dict[str, float] = attrs.field(factory=dict)
    windows: tuple[Window, ...] = (Window(start=1),)
    window: Window = attrs.field(factory=lambda: Window(start=7))
    anything: Any = None
    twice: int = attrs.Factory(lambda self: self.count * 2, takes_self=True)


@frozen(kw_only=True)
class NeedsSize:
    size: int = attrs.field(metadata={"meaning": "how many"})


class Plugin:
    """Components and recipes for these tests."""

    @hookimpl
    def lfads_reconstructions(self):
        yield ReconstructionSpec(name="poisson", summary="Counts", config=NoSettings, build=print)
        yield ReconstructionSpec(name="zig-loss", summary="Calcium events", config=ZigSettings, build=print)
        yield ReconstructionSpec(name="every", summary="All types", config=EverySetting, build=print)

    @hookimpl
    def lfads_priors(self):
        for name, config in {"normal": NoSettings, "autoregressive": NoSettings, "sized": NeedsSize, "linear-gaussian": NoSettings}.items():
            yield PriorSpec(name=name, summary="A prior", config=config, build=print)

    @hookimpl
    def lfads_augmentations(self):
        yield AugmentationSpec(name="coordinated-dropout", summary="Hide some", config=DropoutSettings, build=print)
        yield AugmentationSpec(name="sbtt", summary="Skip gaps", config=NoSettings, build=print)
        yield AugmentationSpec(name="normal", summary="Shares its name with a prior", config=NoSettings, build=print)

    @hookimpl
    def lfads_readins(self):
        yield ReadinSpec(name="linear", summary="A matrix", config=NoSettings, build=print)
        yield ReadinSpec(name="crop", summary="Some channels", config=NoSettings, build=print)

    @hookimpl
    def lfads_readouts(self):
        yield ReadoutSpec(name="linear", summary="A matrix", config=NoSettings, build=print)

    @hookimpl
    def lfads_recipes(self):
        yield RecipeSpec(
            name="zig",
            summary="Calcium",
            settings={
                "components": {
                    "reconstruction": {"name": "zig-loss", "gamma_loc": 0.2},
                    "train_augmentations": ("sbtt", {"name": "coordinated-dropout", "rate": 0.5}),
                },
                "optim": {"lr": 1e-3},
            },
        )
        yield RecipeSpec(name="wrong", summary="Misspelt", settings={"optim": {"learning_rate": 1}, "components": {"train_augmentations": [3]}})
        yield RecipeSpec(name="bare", summary="No components at all", settings={"components": None})


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Every component of these tests."""
    return Registry.from_plugins({"core": builtin, "test-plugin": Plugin()})


@pytest.fixture
def with_commands() -> Registry:
    """The same beside core's own plugin, for commands."""
    return Registry.from_plugins({"core": builtin, "test-plugin": Plugin()})
