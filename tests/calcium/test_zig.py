"""Zero-inflated gamma against scipy, and where a careless density would be infinite or not a number."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from lfads_core.rng import stream
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_calcium.zig import ZeroInflatedGamma, fit_events

CHANNELS = 4


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def make(**settings):
    part = ZeroInflatedGamma(ZIGConfig(**settings), CHANNELS).double()
    part.scale.data = torch.tensor([[2.0, 1.0, 0.5, 3.0], [2.0, 4.0, 1.5, 0.7]], dtype=torch.float64)
    return part


def by_definition(part, params, x):
    s = np.maximum(special.expit(params), 1e-5)
    scale = part.scale.detach().numpy()
    shape, rate, q = s[..., 0] * scale[0], s[..., 1] * scale[1], s[..., 2]
    density = stats.gamma.logpdf(np.where(x > 0, x, 1.0), shape, loc=part.config.gamma_loc, scale=1 / rate)
    return np.where(x > 0, -np.log(q) - density, -np.log1p(-q)), q * (shape / rate + part.config.gamma_loc)


@pytest.mark.parametrize("gamma_loc", [0.0, 0.1])
def test_loss_and_mean_follow_scipy(rng, gamma_loc):
    part = make(gamma_loc=gamma_loc)
    params = rng.normal(0, 2, (3, 5, CHANNELS, 3))
    params[0, 0] = -14  # below the floor of all three
    x = np.where(rng.random((3, 5, CHANNELS)) < 0.5, 0.0, gamma_loc + rng.gamma(1.0, 1.0, (3, 5, CHANNELS)))
    loss, mean = by_definition(part, params, x)
    np.testing.assert_allclose(part.nll(torch.as_tensor(params), torch.as_tensor(x)).detach(), loss, rtol=1e-9)
    np.testing.assert_allclose(part.mean(torch.as_tensor(params)).detach(), mean, rtol=1e-12)


def test_the_probabilities_sum_to_one():
    part = make(gamma_loc=0.2)
    params = torch.tensor([[[0.8, -0.3, 0.4]]], dtype=torch.float64).expand(1, CHANNELS, 3)

    def density(x, channel):
        return math.exp(-part.nll(params, torch.full((1, CHANNELS), x, dtype=torch.float64))[0, channel].item())

    for channel in range(CHANNELS):
        # With y = ln(x - gamma_loc) the integrand has no pole, even for shapes below 1.
        events = integrate.quad(lambda y, c=channel: math.exp(y) * density(0.2 + math.exp(y), c), -33, 5, limit=200)[0]
        assert density(0.0, channel) + events == pytest.approx(1, abs=2e-5)  # e^-33 leaves out as much where the shape is 0.34


@pytest.mark.parametrize("logit", [-30.0, 0.0, 17.0, 40.0, 1e4])
def test_a_chance_that_rounds_to_one_or_zero_costs_what_it_should(logit):
    """-ln(1 - q) = softplus(logit), where 1 - sigmoid(17) would be 0 in float32."""
    part = ZeroInflatedGamma(ZIGConfig(), 1)
    params = torch.tensor([[[0.0, 0.0, logit]]], requires_grad=True)
    loss = part.nll(params, torch.zeros(1, 1))
    loss.sum().backward()
    exact = np.logaddexp(0, max(logit, special.logit(1e-5)))
    assert loss.item() == pytest.approx(exact, rel=1e-6)
    assert params.grad[0, 0, 2].item() == pytest.approx(special.expit(logit) if logit > special.logit(1e-5) else 0.0, rel=1e-6)


@pytest.mark.parametrize("x", [1e-45, 1e-6, 0.05, 0.1])
def test_sizes_up_to_gamma_loc_count_as_the_least_size_above_it(x):
    part = ZeroInflatedGamma(ZIGConfig(gamma_loc=0.1), 1).double()
    params = torch.tensor([[[0.3, -0.2, 0.5]]], dtype=torch.float64, requires_grad=True)
    loss = part.nll(params, torch.tensor([[x]], dtype=torch.float64))
    wanted = part.nll(params, torch.tensor([[0.1 + 1e-6]], dtype=torch.float64))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(loss.sum(), params)
    assert gradient.isfinite().all()


def test_bins_without_an_event_send_no_gradient_to_shape_and_rate():
    part = make(gamma_loc=0.1)
    params = torch.zeros(1, 2, CHANNELS, 3, dtype=torch.float64, requires_grad=True)
    data = torch.zeros(1, 2, CHANNELS, dtype=torch.float64)
    data[:, 1] = 1.0
    grad_params, grad_scale = torch.autograd.grad(part.nll(params, data)[:, 0].sum(), [params, part.scale])
    assert grad_params.isfinite().all()
    assert (grad_params[..., :2] == 0).all()
    assert (grad_scale == 0).all()


@pytest.mark.parametrize("scale", [0.0, -0.5])
def test_a_scale_that_stepped_below_zero_costs_a_finite_loss_and_finds_its_way_back(scale):
    part = ZeroInflatedGamma(ZIGConfig(), 1)
    part.scale.data.fill_(scale)
    params, data = torch.zeros(1, 1, 3), torch.ones(1, 1)
    loss = part.nll(params, data).sum()
    loss.backward()
    assert loss.isfinite()
    assert part.mean(params).isfinite().all()
    assert part.scale.grad.isfinite().all()
    assert part.scale.grad[0] < 0  # descent makes it larger


def test_events_come_as_often_and_as_large_as_they_should():
    part = make(gamma_loc=0.1)
    params = torch.tensor([1.0, -0.5, 0.2], dtype=torch.float64).expand(200, 100, CHANNELS, 3)
    draws = part.sample(params, stream(0, "x")).detach().numpy()
    q = special.expit(0.2)
    assert np.abs((draws > 0).mean((0, 1)) - q).max() < 6 * math.sqrt(q * (1 - q) / 20_000)
    assert draws[draws > 0].min() >= 0.1
    scale = part.scale.detach().numpy()
    for channel in range(CHANNELS):
        x = draws[..., channel].ravel()
        law = stats.gamma(special.expit(1.0) * scale[0, channel], loc=0.1, scale=1 / (special.expit(-0.5) * scale[1, channel]))
        assert stats.kstest(x[x > 0], law.cdf).pvalue > 1e-6


def test_the_pull_of_the_scales_is_half_the_squared_distance():
    part = make(scale_prior=1.5, scale_penalty=0.3)
    scale = part.scale.detach().numpy()
    assert part.penalty().item() == pytest.approx(0.5 * 0.3 * ((scale - 1.5) ** 2).sum(), rel=1e-12)
    assert make(scale_penalty=0.0).penalty().item() == 0


def test_the_scales_start_where_the_settings_say():
    part = ZeroInflatedGamma(ZIGConfig(scale_init=3.5), 7)
    assert part.scale.shape == (2, 7)
    assert part.scale.requires_grad
    assert (part.scale == 3.5).all()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"gamma_loc": -0.1}, "must be >= 0, got -0.1"),
        ({"scale_init": 0.0}, "must be > 0, got 0.0"),
        ({"scale_prior": -1.0}, "must be > 0, got -1.0"),
        ({"scale_penalty": -1.0}, "must be >= 0, got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        ZIGConfig(**wrong)
    assert attrs.asdict(ZIGConfig()) == {"gamma_loc": 0.0, "scale_init": None, "scale_prior": None, "scale_penalty": 1e-5}


def gamma_fit(x):
    """Shape and rate by scipy's maximum likelihood."""
    shape, _, scale = stats.gamma.fit(x, floc=0)
    return shape, 1 / scale


def events(rng, shares, shapes, rates, gamma_loc=0.0, trials=200, bins=100):
    size = rng.gamma(shapes, 1 / np.asarray(rates), (trials, bins, len(shapes))) + gamma_loc
    return torch.as_tensor(np.where(rng.random(size.shape) < shares, size, 0.0))


@pytest.mark.parametrize("gamma_loc", [0.0, 0.3])
def test_the_start_is_the_maximum_likelihood_fit_of_each_channel(rng, gamma_loc):
    data = events(rng, [0.3, 0.05, 0.9], [0.5, 1.0, 6.0], [0.2, 30.0, 2.0], gamma_loc)
    shape, rate, logit = (x.numpy() for x in fit_events(data, gamma_loc))
    for channel in range(3):
        x = data[..., channel].numpy()
        wanted = gamma_fit(x[x > 0] - gamma_loc)
        assert (shape[channel], rate[channel]) == (pytest.approx(wanted[0], rel=0.03), pytest.approx(wanted[1], rel=0.03))
        assert special.expit(logit[channel]) == pytest.approx((x > 0).mean(), rel=0.01)


def test_a_read_out_at_its_start_predicts_each_channels_mean(rng):
    data = events(rng, [0.3, 0.05, 0.9], [0.5, 1.0, 6.0], [0.2, 30.0, 2.0])
    part = ZeroInflatedGamma(ZIGConfig(), 3)
    params = part.start_from(data)
    np.testing.assert_allclose(part.mean(params[None, None]).detach()[0, 0], data.mean((0, 1)), rtol=0.03)
    assert part.penalty().item() == 0
    assert params[:, :2].abs().max() < 1e-6


def test_missing_values_do_not_move_the_start(rng):
    data = events(rng, [0.3, 0.05], [0.5, 1.0], [0.2, 30.0])
    gaps = torch.full((200, 300, 2), torch.nan, dtype=data.dtype)
    gaps[:, ::3] = data
    for one, two in zip(fit_events(gaps), fit_events(data), strict=True):
        torch.testing.assert_close(one, two)


def test_a_silent_channel_starts_like_the_others(rng):
    data = events(rng, [0.2, 0.2, 0.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0])
    shape, rate, logit = fit_events(data)
    assert shape[2] == pytest.approx(2, rel=0.05)
    assert (shape / rate)[2] == pytest.approx(0.5, rel=0.05)
    assert logit[2] == pytest.approx(special.logit(2e-5), rel=0.01)


def start_by_hand(data, gamma_loc):
    """Shape, rate and share of each channel, one value after another, as the docstring of ``fit_events`` has them."""
    channels = [[x for x in column if not math.isnan(x)] for column in data.reshape(-1, data.shape[-1]).T.tolist()]
    sizes = [[max(x - gamma_loc, 1e-6) for x in column if x > 0] for column in channels]
    count = [len(column) for column in sizes]
    chance = min(max(sum(count) / sum(map(len, channels)), 1e-3), 1 - 1e-3)
    log_mean = [math.log(sum(column) / len(column)) if column else 0.0 for column in sizes]
    s = [ln - sum(map(math.log, column)) / len(column) if column else 0.0 for ln, column in zip(log_mean, sizes, strict=True)]
    of_all_s, of_all_means = (sum(n * x for n, x in zip(count, each, strict=True)) / sum(count) for each in (s, log_mean))
    for channel, column, n, own_s, own_mean in zip(channels, sizes, count, s, log_mean, strict=True):
        pooled = max((n * own_s + 5 * of_all_s) / (n + 5), 1e-3)
        shape = (3 - pooled + math.sqrt((pooled - 3) ** 2 + 24 * pooled)) / (12 * pooled)
        shape = min(max(shape, 0.05), 50.0)
        mean = math.exp((n * own_mean + of_all_means) / (n + 1))
        yield shape, shape / mean, min(max((len(column) + chance) / (len(channel) + 1), 2e-5), 1 - 2e-5)


@pytest.mark.parametrize("gamma_loc", [0.0, 0.3])
@pytest.mark.parametrize(
    ("bins", "counts"),
    [(100, (0, 1, 2, 40)), (100, (1,)), (100, (0, 1)), (100, (100, 100)), (100, (2, 100)), (10, (10, 10)), (1, (1,))],
    ids=["few and many", "one event", "one event of two", "always", "always one", "always of few", "one value"],
)
def test_channels_with_few_events_borrow_what_is_said(rng, bins, counts, gamma_loc):
    data = np.zeros((bins, len(counts)))
    for channel, count in enumerate(counts):
        data[rng.choice(bins, count, replace=False), channel] = rng.gamma(1.5, 2.0, count) + gamma_loc
    data[:, 0][data[:, 0] == 0] = np.where(rng.random((data[:, 0] == 0).sum()) < 0.2, np.nan, 0.0)
    found = (x.tolist() for x in fit_events(torch.as_tensor(data[None]), gamma_loc))
    for shape, rate, logit, wanted in zip(*found, start_by_hand(data, gamma_loc), strict=True):
        assert (shape, rate, special.expit(logit)) == pytest.approx(wanted, rel=1e-6)  # shares are float32


def test_the_shape_of_a_start_stays_within_its_bounds():
    alike = torch.full((1, 50, 1), 0.7)
    assert fit_events(alike)[0].item() == 50
    spread = torch.tensor([1e-6] * 45 + [1e9] * 5).reshape(1, 50, 1)
    assert fit_events(spread)[0].item() == pytest.approx(0.05)


@pytest.mark.parametrize("bins", [3, 2000])
def test_a_recording_without_an_event_starts_at_one_in_a_thousand(bins):
    for found, wanted in zip(fit_events(torch.zeros(1, bins, 2)), (1.0, 1.0, special.logit(max(1e-3 / (bins + 1), 2e-5))), strict=True):
        assert found.tolist() == pytest.approx([wanted] * 2)


@pytest.mark.parametrize("data", [torch.zeros(2, 3, 2), torch.full((2, 3, 2), torch.nan)], ids=["silent", "unobserved"])
def test_data_without_events_give_a_finite_start(data):
    part = ZeroInflatedGamma(ZIGConfig(), 2)
    assert part.start_from(data).isfinite().all()
    assert (part.scale == 2).all()


def test_equal_sizes_and_extreme_units_give_a_finite_start():
    for size in (1e-6, 1.0, 1e6):
        part = ZeroInflatedGamma(ZIGConfig(), 1)
        params = part.start_from(torch.tensor([[[size], [0.0]]]).expand(20, 2, 1))
        assert part.nll(params.expand(20, 2, 1, 3), torch.full((20, 2, 1), size)).isfinite().all()
        assert part.mean(params[None, None]).item() == pytest.approx(size / 2, rel=0.03)


def test_scales_that_were_set_stay_and_the_parameters_follow_the_data(rng):
    data = events(rng, [0.3], [0.5], [0.8])
    part = ZeroInflatedGamma(ZIGConfig(scale_init=2.0, scale_prior=1.0), 1)
    params = part.start_from(data)
    assert (part.scale == 2).all()
    shape, rate = (x.item() for x in part.shape_and_rate(params[None, None]))
    assert shape == pytest.approx(0.5, rel=0.05)
    assert rate == pytest.approx(0.8, rel=0.05)


def test_the_pull_to_the_start_is_the_same_in_any_unit(rng):
    data = events(rng, [0.3, 0.1], [0.5, 2.0], [0.8, 1.0])
    prices = []
    for unit in (1.0, 1000.0):
        part = ZeroInflatedGamma(ZIGConfig(scale_penalty=0.1), 2)
        part.start_from(data * unit)
        with torch.no_grad():
            part.scale.mul_(1.5)
        prices.append(part.penalty().item())
    assert prices == [pytest.approx(0.5 * 0.1 * 4 * 0.25, rel=1e-5)] * 2
    assert "start" not in part.state_dict()


@pytest.mark.parametrize("unit", [1e-5, 1.0, 1e5])
def test_in_any_unit_of_the_data_all_is_finite_in_float32_at_the_ends_of_the_parameters(rng, unit):
    data = (events(rng, [0.3, 0.02], [0.5, 5.0], [0.8, 1.0]) * unit).float()
    part = ZeroInflatedGamma(ZIGConfig(), 2)
    part.start_from(data)
    for value in (-1e4, -30.0, 0.0, 30.0, 1e4):
        params = torch.full((200, 100, 2, 3), value, requires_grad=True)
        loss = part.nll(params, data)
        (loss.sum() + part.penalty()).backward()
        assert loss.isfinite().all()
        assert part.mean(params).isfinite().all()
        assert params.grad.isfinite().all()
        assert part.scale.grad.isfinite().all()


def test_every_session_starts_at_its_own_cells(rng):
    """Scales belong to a session: two sessions of one model, in different units, do not meet."""
    from lfads_core.config.load import resolve
    from lfads_core.data.session import Session, Split
    from lfads_core.model.build import prepare_model
    from lfads_core.plugins import load_registry

    sessions = []
    for name, unit, channels in (("a", 1.0, 3), ("b", 100.0, 2)):
        x = (events(rng, [0.2] * channels, [2.0] * channels, [2.0] * channels, trials=20) * unit).float().numpy()
        sessions.append(Session(name=name, path=None, splits={k: Split(encod=x, recon=x, external=x[:, :, :0]) for k in ("train", "valid")}))
    model = prepare_model(resolve([], ["zig"], [], load_registry()), sessions, load_registry(), "cpu")
    scales = {name: model.reconstructions[name].scale for name in ("a", "b")}
    assert (scales["a"].shape, scales["b"].shape) == ((2, 3), (2, 2))
    assert (scales["a"][1].mean() / scales["b"][1].mean()).item() == pytest.approx(100, rel=0.2)
