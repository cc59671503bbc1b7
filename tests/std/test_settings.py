"""Settings of the standard components: what is refused, in which words."""

from __future__ import annotations

import re

import pytest

from lfads_plugins_std import settings as s


@pytest.mark.parametrize(
    ("config", "wrong", "text"),
    [
        (s.NormalConfig, {"variance": 0.0}, "must be > 0, got 0.0"),
        (s.AutoregressiveConfig, {"tau": -1.0}, "must be > 0, got -1.0"),
        (s.AutoregressiveConfig, {"variance": 0.0}, "must be > 0, got 0.0"),
        (s.AutoregressiveConfig, {"over_time": "median"}, "must be one of sum, mean, got 'median'"),
        (s.StudentTConfig, {"scale": 0.0}, "must be > 0, got 0.0"),
        (s.StudentTConfig, {"degrees": 0.0}, "must be > 0, got 0.0"),
        (s.CoordinatedDropoutConfig, {"rate": 1.0}, "must be >= 0 and < 1, got 1.0"),
        (s.CoordinatedDropoutConfig, {"pass_rate": -0.1}, "must be >= 0 and < 1, got -0.1"),
        (s.CoordinatedDropoutConfig, {"mask": "all"}, "must be one of input, reconstruction, got 'all'"),
        (s.SpikeJitterConfig, {"width": 0}, "must be >= 1, got 0"),
        (s.SampleValidationConfig, {"rate": 1.0}, "must be >= 0 and < 1, got 1.0"),
        (s.SampleValidationConfig, {"reduce": "max"}, "must be one of mean, sum, got 'max'"),
        (s.LinearReadinConfig, {"size": 0}, "must be >= 1, got 0"),
        (s.PCRReadoutConfig, {"inverse": "ridge"}, "must be one of pinv, transpose, got 'ridge'"),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else None,
)
def test_settings_out_of_range_are_refused(config, wrong, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        config(**wrong)


def test_settings_do_not_change_once_made():
    settings = s.NormalConfig()
    with pytest.raises(AttributeError):
        settings.mean = 1.0
