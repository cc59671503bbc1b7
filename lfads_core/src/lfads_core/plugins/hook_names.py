"""What looks like a hook in a plugin and is none, or would never be called."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import pluggy

from lfads_core.errors import PluginError
from lfads_core.plugins.hookspecs import DECLARES, PROJECT
from lfads_core.plugins.offers import HOOKS
from lfads_core.wording import listed


def check_names(plugin: object, callers: Iterable[pluggy.HookCaller], names: Sequence[str]) -> None:
    """Refuse what looks like a hook and is none, or would never be called."""
    names = [*names, DECLARES]
    for caller in callers:
        if caller.has_spec() or all(impl.optionalhook for impl in caller.get_hookimpls()) or _of_an_absent_package(caller.name):
            continue
        near = _near(caller.name, names)
        hint = f"Did you mean {listed(map(repr, near))}?" if near else f"Hooks: {', '.join(names)}."
        raise PluginError(f"no hook is named {caller.name!r}. {hint}")
    for name in names:
        function = getattr(plugin, name, None)
        if callable(function) and not hasattr(function, f"{PROJECT}_impl"):
            raise PluginError(f"{name}: must be marked with @hookimpl (from lfads_core.plugins), or it is never called")


def _of_an_absent_package(name: str) -> bool:
    """Whether a package of this project declares it, which is not here: then nobody would call it, and that is no fault."""
    return any(name in hooks for hooks in HOOKS.values())


def _near(name: str, names: Sequence[str]) -> list[str]:
    """Hooks that may be meant: the plural or singular, the one for the same thing under another word, or one spelt nearly so."""
    word = name.removeprefix(f"{PROJECT}_")
    stem = word.removesuffix("s")
    same = [hook for hook in names if hook.removeprefix(f"{PROJECT}_").removesuffix("s") == stem]
    meant = [f"{PROJECT}_{hook}" for hook, words in _OTHER_WORDS.items() if stem in words and f"{PROJECT}_{hook}" in names]
    by_word = {hook.removeprefix(f"{PROJECT}_"): hook for hook in names}
    return same or meant or [by_word[found] for found in difflib.get_close_matches(word, by_word, n=2, cutoff=0.75)]


_OTHER_WORDS = {
    "reconstructions": {"likelihood", "observation", "distribution", "noise_model", "emission", "nll"},
    "losses": {"loss", "regulariser", "regularizer", "objective", "penalty"},
    "encoders": {"inference_network", "recognition_model"},
    "generators": {"dynamic", "decoder", "rnn", "cell"},
    "latents": {"latent_variable"},
    "augmentations": {"transform", "dropout", "mask"},
    "readins": {"input_layer", "embedding"},
    "readouts": {"output_layer", "decoder_head"},
    "data_readers": {"reader", "loader", "dataset", "file_format"},
    "recordings": {"raw_reader", "raw_format"},
    "synthetics": {"synthetic_data", "simulator", "generator_of_data"},
    "trackers": {"logger"},
    "reports": {"figure", "plot"},
    "exporters": {"export", "writer"},
    "epoch_ended": {"epoch_finished", "on_epoch_end", "epoch_end"},
    "run_started": {"on_run_start", "run_begun"},
    "run_finished": {"run_ended", "on_run_end"},
}
"""What people call a hook -> its name without ``lfads_``; those that are not there are passed over."""
