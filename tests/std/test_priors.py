"""Normal, autoregressive, Student-t and null priors against scipy, dense Gaussians and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from lfads_core.errors import ConfigError
from lfads_core.rng import stream
from lfads_plugins_std.autoregressive import AutoregressivePrior, autoregressive_log_density
from lfads_plugins_std.normal import NormalPrior, NullPrior
from lfads_plugins_std.settings import AutoregressiveConfig, NormalConfig, StudentTConfig
from lfads_plugins_std.student_t import StudentTPrior, chi_square_slope, student_t_log_density


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def tensor(x):
    return torch.as_tensor(np.asarray(x, dtype=np.float64))


def normal_prior(mean=(0.5, -1.0), variance=0.3):
    part = NormalPrior(NormalConfig(variance=variance), len(mean)).double()
    part.mean.data = tensor(mean)
    part.log_var.data = tensor(np.log(variance) * np.ones(len(mean)))
    return part


def test_the_normal_divergence_is_the_integral_of_its_definition():
    part = normal_prior(mean=(0.5,))
    q, p = stats.norm(1.2, 0.4), stats.norm(0.5, math.sqrt(0.3))
    exact = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -3, 6)[0]
    assert part.kl(tensor([[1.2]]), tensor([[0.4]]), {}).item() == pytest.approx(exact, rel=1e-9)


def test_the_normal_divergence_is_summed_over_dimensions_and_averaged_over_bins(rng):
    part = normal_prior()
    mean, std = rng.normal(size=(3, 4, 2)), rng.gamma(5.0, 0.2, (3, 4, 2))
    m, v = np.array([0.5, -1.0]), 0.3
    each = 0.5 * (np.log(v / std**2) + (std**2 + (mean - m) ** 2) / v - 1)
    np.testing.assert_allclose(part.kl(tensor(mean), tensor(std), {}).detach(), each.sum(-1).mean(-1), rtol=1e-12)
    np.testing.assert_allclose(part.kl(tensor(mean[:, 0]), tensor(std[:, 0]), {}).detach(), each[:, 0].sum(-1), rtol=1e-12)


def test_the_normal_divergence_is_zero_at_the_prior_and_finite_for_tiny_spreads():
    part = normal_prior()
    at_home = part.kl(tensor([[0.5, -1.0]]), tensor([[math.sqrt(0.3)] * 2]), {})
    assert at_home.item() == pytest.approx(0, abs=1e-12)
    tiny = NormalPrior(NormalConfig(), 1).kl(torch.zeros(1, 1), torch.full((1, 1), 1e-30), {})
    assert tiny.item() == pytest.approx(0.5 * (math.log(0.1) + 60 * math.log(10) - 1), rel=1e-5)


def test_the_normal_mean_is_trained_if_asked_and_the_variance_never():
    assert NormalPrior(NormalConfig(), 2).mean.requires_grad
    assert not NormalPrior(NormalConfig(train_mean=False), 2).mean.requires_grad
    assert not NormalPrior(NormalConfig(), 2).log_var.requires_grad
    assert NormalPrior(NormalConfig(), 2).scalars() == {}


@pytest.mark.parametrize(
    ("settings", "variance_of"),
    [
        ({"variance": 0.4}, math.exp),
        ({"variance": 0.4, "min_variance": 0.1}, lambda a: 0.1 + math.exp(a)),
        ({"variance": 0.4, "min_variance": 0.1, "max_variance": 0.7}, lambda a: 0.1 + 0.6 / (1 + math.exp(-a))),
    ],
)
def test_a_trained_normal_variance_starts_where_it_is_told_and_stays_within_its_bounds(settings, variance_of):
    part = NormalPrior(NormalConfig(train_variance=True, **settings), 2).double()
    torch.testing.assert_close(part.log_variance().detach().exp(), tensor([0.4, 0.4]), rtol=1e-6, atol=0)
    assert part.scalars() == {"variance": pytest.approx(0.4, rel=1e-6)}
    for a in (-30.0, -0.3, 2.0):
        part.free_variance.data = tensor([a, 0.0])
        assert part.log_variance()[0].exp().item() == pytest.approx(variance_of(a), rel=1e-12)
        given = part.kl(tensor([[0.3, -0.1]]), tensor([[0.5, 0.2]]), {}).item()
        pairs = ((variance_of(a), 0.3, 0.5), (variance_of(0.0), -0.1, 0.2))
        assert given == pytest.approx(sum(0.5 * (math.log(v / s**2) + (s**2 + m**2) / v - 1) for v, m, s in pairs), rel=1e-9)


def test_training_a_bounded_variance_finds_that_of_the_posteriors_or_the_bound(rng):
    means = tensor(rng.normal(0, 2.0, (500, 1)))
    for high, wanted in ((None, float(means.square().mean()) + 0.01), (1.0, 1.0)):
        part = NormalPrior(NormalConfig(train_variance=True, train_mean=False, variance=0.5, max_variance=high), 1).double()
        optimizer = torch.optim.Adam(part.parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            part.kl(means, torch.full_like(means, 0.1), {}).mean().backward()
            optimizer.step()
        assert part.scalars()["variance"] == pytest.approx(wanted, rel=1e-3 if high is None else 0.02)
        assert high is None or part.scalars()["variance"] < high


def test_bounds_of_a_variance_that_mean_nothing_are_refused():
    assert NormalConfig(min_variance=0.05).rules() == [
        "train_variance: must be true with min_variance or max_variance, which bound a trained variance, got false"
    ]
    assert NormalConfig(train_variance=True, variance=0.3, min_variance=0.05, max_variance=0.2).rules() == [
        "variance: must be above min_variance (0.05) and below max_variance (0.2) with train_variance, got 0.3"
    ]
    assert NormalConfig(train_variance=True, variance=0.1, min_variance=0.1).rules() == [
        "variance: must be above min_variance (0.1) with train_variance, got 0.1"
    ]
    assert NormalConfig().rules() == NormalConfig(train_variance=True).rules() == []


def test_generated_normal_values_follow_the_prior():
    drawn = normal_prior().generate(torch.empty(20_000, 2, dtype=torch.float64), stream(0)).detach().numpy()
    for k, mean in enumerate((0.5, -1.0)):
        assert stats.kstest(drawn[:, k], stats.norm(mean, math.sqrt(0.3)).cdf).pvalue > 1e-6


TAU, VARIANCE = np.array([3.0, 12.0]), np.array([0.2, 0.05])


def ar_prior(over_time="sum", tau=TAU, variance=VARIANCE):
    part = AutoregressivePrior(AutoregressiveConfig(over_time=over_time), len(tau)).double()
    part.log_tau.data, part.log_variance.data = tensor(np.log(tau)), tensor(np.log(variance))
    return part


def ar_covariance(bins, tau, variance):
    """v a^|i - j| / (1 - a^2): the stationary covariance of an AR(1) process."""
    a = math.exp(-1 / tau)
    lag = np.abs(np.subtract.outer(np.arange(bins), np.arange(bins)))
    return variance / (1 - a**2) * a**lag


@pytest.mark.parametrize("bins", [1, 2, 9])
def test_the_autoregressive_density_is_that_of_a_dense_gaussian(rng, bins):
    path = rng.normal(size=(4, bins, 2))
    got = autoregressive_log_density(tensor(path), tensor(np.log(TAU)), tensor(np.log(VARIANCE))).sum(-1)
    dense = sum(stats.multivariate_normal(np.zeros(bins), ar_covariance(bins, TAU[u], VARIANCE[u])).logpdf(path[..., u]) for u in range(2))
    np.testing.assert_allclose(got, dense, rtol=1e-9)


def test_the_autoregressive_divergence_is_right_on_average(rng):
    """Against the closed form between Gaussians: ½ (tr S⁻¹D + m'S⁻¹m - T + ln|S| - ln|D|)."""
    bins, draws = 6, 20_000
    mean, std = rng.normal(size=(bins, 2)), rng.gamma(5.0, 0.1, (bins, 2))
    exact = 0.0
    for u in range(2):
        cov = ar_covariance(bins, TAU[u], VARIANCE[u])
        inverse = np.linalg.inv(cov)
        terms = np.trace(inverse @ np.diag(std[:, u] ** 2)) + mean[:, u] @ inverse @ mean[:, u] - bins
        exact += 0.5 * (terms + np.linalg.slogdet(cov)[1] - 2 * np.log(std[:, u]).sum())
    part = ar_prior()
    means, stds = (tensor(np.broadcast_to(x, (draws, bins, 2)).copy()) for x in (mean, std))
    kl = part.kl(means, stds, part.draw(means, stream(0))).detach().numpy()
    assert abs(kl.mean() - exact) < 6 * kl.std() / math.sqrt(draws)


def test_an_autoregressive_prior_of_initial_conditions_is_refused():
    with pytest.raises(
        ConfigError, match=r"^autoregressive: must be a prior of inputs over bins, got values without bins\. Use it as components.input_prior.$"
    ):
        ar_prior().kl(torch.zeros(3, 2), torch.ones(3, 2), {"normal": torch.zeros(3, 2)})


def test_the_autoregressive_divergence_may_be_averaged_over_bins(rng):
    mean, std = tensor(rng.normal(size=(3, 8, 2))), tensor(rng.gamma(5.0, 0.1, (3, 8, 2)))
    draw = ar_prior().draw(mean, stream(0))
    torch.testing.assert_close(ar_prior("mean").kl(mean, std, draw) * 8, ar_prior().kl(mean, std, draw), rtol=1e-12, atol=0)


def test_generated_paths_are_stationary():
    bins, trials = 6, 40_000
    paths = ar_prior().generate(torch.empty(trials, bins, 2, dtype=torch.float64), stream(0)).detach().numpy()
    for u in range(2):
        wanted = ar_covariance(bins, TAU[u], VARIANCE[u])
        spread = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / trials)  # of a sample covariance
        assert (np.abs(np.cov(paths[..., u].T) - wanted) < 6 * spread).all()
        assert (np.abs(paths[..., u].mean(0)) < 6 * np.sqrt(np.diag(wanted) / trials)).all()


@pytest.mark.parametrize("tau", [1e-3, 1e9])
def test_time_constants_at_the_ends_cost_a_finite_divergence_in_float32(tau):
    """At 1e9 bins, a rounds to 1 in float32 and the first bin's variance v / (1 - a²) must not be infinite."""
    part = AutoregressivePrior(AutoregressiveConfig(tau=tau), 2)
    mean = torch.zeros(3, 5, 2)
    kl = part.kl(mean, mean + 0.1, part.draw(mean, stream(0)))
    kl.sum().backward()
    assert kl.isfinite().all()
    assert part.log_tau.grad.isfinite().all()
    assert part.generate(mean, stream(0)).isfinite().all()


def test_the_settings_say_what_of_the_autoregressive_prior_is_trained():
    part = AutoregressivePrior(AutoregressiveConfig(tau=4.0, variance=0.5, train_tau=False, train_variance=False), 2)
    assert not any(value.requires_grad for value in part.parameters())
    assert part.scalars() == pytest.approx({"tau": 4.0, "variance": 0.5})
    assert all(value.requires_grad for value in AutoregressivePrior(AutoregressiveConfig(), 2).parameters())


def student_prior(location=(0.7, -0.2), scale=(0.3, 2.0), degrees=5.0):
    part = StudentTPrior(StudentTConfig(degrees=degrees), 2).double()
    part.location.data, part.log_scale.data = tensor(location), tensor(np.log(scale))
    return part


def test_the_student_t_density_is_scipys(rng):
    x, location, scale = rng.normal(size=(3, 50)) * 4
    got = student_t_log_density(tensor(x), tensor(location), tensor(np.exp(scale)), tensor(3.5))
    np.testing.assert_allclose(got, stats.t.logpdf(x, 3.5, location, np.exp(scale)), rtol=1e-10)


def test_the_student_t_divergence_respects_location_and_is_right_on_average():
    part, draws = student_prior(), 40_000
    location, scale = [1.5, -0.5], [0.4, 1.0]
    exact = 0.0
    for k in range(2):
        q = stats.t(5.0, location[k], scale[k])
        p = stats.t(5.0, [0.7, -0.2][k], [0.3, 2.0][k])
        exact += integrate.quad(lambda x, q=q, p=p: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -200, 200, points=[-5, 0, 1, 5], limit=300)[0]
    mean, std = (tensor(np.tile(x, (draws, 1))) for x in (location, scale))
    kl = part.kl(mean, std, part.draw(mean, stream(0))).detach().numpy()
    assert abs(kl.mean() - exact) < 6 * kl.std() / math.sqrt(draws)
    moved = student_prior(location=(1.5, -0.5)).kl(mean, std, part.draw(mean, stream(0))).mean().item()
    assert moved < kl.mean() - 1


def test_student_t_samples_and_generated_values_follow_scipy():
    part = student_prior()
    like = torch.empty(20_000, 2, dtype=torch.float64)
    generated = part.generate(like, stream(0)).detach().numpy()
    sampled = part.sample(torch.full_like(like, 3.0), torch.full_like(like, 0.5), part.draw(like, stream(1))).numpy()
    for k in range(2):
        assert stats.kstest(generated[:, k], stats.t(5.0, [0.7, -0.2][k], [0.3, 2.0][k]).cdf).pvalue > 1e-6
        assert stats.kstest(sampled[:, k], stats.t(5.0, 3.0, 0.5).cdf).pvalue > 1e-6
    assert part.scalars() == pytest.approx({"scale": 1.15})


def test_a_chi_square_that_rounds_to_nothing_gives_no_infinite_sample():
    part = StudentTPrior(StudentTConfig(degrees=0.05), 1)
    like = torch.zeros(20_000, 1)
    draw = part.draw(like, stream(0))
    assert (draw["chi2"] > 0).all()
    assert part.standardise(draw).isfinite().all()


def test_a_chi_square_draw_moves_with_its_degrees_as_scipys_quantile_does():
    degrees = tensor([1.3, 5.0, 40.0])
    shares = np.array([0.001, 0.05, 0.5, 0.95, 0.999])[:, None]
    drawn, h = stats.chi2.ppf(shares, degrees.numpy()), 1e-5
    wanted = (stats.chi2.ppf(shares, degrees.numpy() + h) - stats.chi2.ppf(shares, degrees.numpy() - h)) / (2 * h)
    np.testing.assert_allclose(chi_square_slope(degrees, tensor(drawn)), wanted, rtol=1e-3)  # torch approximates it


def learned_prior(degrees, location=(0.7,), scale=(0.3,)):
    part = StudentTPrior(StudentTConfig(degrees=degrees, train_degrees=True), 1).double()
    part.location.data, part.log_scale.data = tensor(location), tensor(np.log(scale))
    return part


def test_learned_degrees_of_freedom_get_the_gradient_of_the_exact_divergence():
    """The mean over draws of the gradient at a draw is the derivative of the integral."""

    def exact(degrees):
        q, p = stats.t(degrees, 1.5, 0.4), stats.t(degrees, 0.7, 0.3)
        return integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -400, 400, points=[-5, 0, 1, 2, 5], limit=400)[0]

    part, draws, h = learned_prior(4.0), 100_000, 1e-3
    mean, std = tensor(np.full((draws, 1), 1.5)), tensor(np.full((draws, 1), 0.4))
    kl = part.kl(mean, std, part.draw(mean, stream(0)))
    per_draw = torch.autograd.grad(kl.mean(), part.log_stretch)[0].item() / 3.0  # d degrees / d stretch = 4 - 1
    wanted = (exact(4.0 + h) - exact(4.0 - h)) / (2 * h)
    part_without = learned_prior(4.0)
    fixed = part_without.kl(mean, std, {**part.draw(mean, stream(0)), "chi2_slope": torch.zeros_like(mean)})
    without = torch.autograd.grad(fixed.mean(), part_without.log_stretch)[0].item() / 3.0
    assert per_draw == pytest.approx(wanted, rel=0.05)
    assert without != pytest.approx(wanted, rel=0.05)  # a gradient that stopped at the draw would be another


def test_degrees_of_freedom_are_learned_from_the_tails(rng):
    """Maximum likelihood by gradient steps on the prior's density of given values finds the degrees that made them."""
    part, x = learned_prior(20.0, location=(0.0,), scale=(1.0,)), tensor(rng.standard_t(3.0, size=(5000, 1)))
    optimizer = torch.optim.Adam(part.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-student_t_log_density(x, part.location, part.log_scale.exp(), part.degrees).mean()).backward()
        optimizer.step()
    assert part.scalars()["degrees"] == pytest.approx(3.0, rel=0.15)
    assert part.scalars()["scale"] == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(("location", "scale", "degrees"), [(0.0, 0.3, 5.0), (0.4, 1.2, 3.0)])
def test_a_student_t_prior_starts_where_its_settings_say(location, scale, degrees):
    part = StudentTPrior(StudentTConfig(location=location, scale=scale, degrees=degrees), 2).double()
    wanted = stats.t(degrees, location, scale)
    for found, moment in zip(part.moments(), (wanted.mean(), wanted.std()), strict=True):
        torch.testing.assert_close(found, tensor([moment, moment]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bins", [None, 4])
def test_the_ratio_is_that_of_scipys_densities_at_the_sample(rng, bins):
    shape = (3, 2) if bins is None else (3, bins, 2)
    mean, std = rng.normal(size=shape), rng.gamma(5.0, 0.2, shape)
    prior_mean, scale = np.array([0.7, -0.2]), np.array([0.3, 2.0])
    densities = {
        normal_prior(variance=0.3): lambda x: stats.norm.logpdf(x, [0.5, -1.0], math.sqrt(0.3)),
        student_prior(): lambda x: stats.t.logpdf(x, 5.0, prior_mean, scale),
    }
    if bins is not None:
        dense = [stats.multivariate_normal(np.zeros(bins), ar_covariance(bins, TAU[u], VARIANCE[u])) for u in range(2)]
        densities[ar_prior()] = densities[ar_prior("mean")] = lambda x: sum(dense[u].logpdf(x[..., u]) for u in range(2))
    for part, prior in densities.items():
        draw = part.draw(tensor(mean), stream(0))
        x = part.sample(tensor(mean), tensor(std), draw).numpy()
        posterior = stats.t.logpdf(x, 5.0, mean, std) if isinstance(part, StudentTPrior) else stats.norm.logpdf(x, mean, std)
        wanted = posterior.reshape(3, -1).sum(1) - prior(x).reshape(3, -1).sum(1)
        np.testing.assert_allclose(part.log_ratio(tensor(mean), tensor(std), draw).detach(), wanted, rtol=1e-9)


def test_student_t_values_spread_without_bound_from_two_degrees_of_freedom_down():
    for degrees in (1.0, 2.0, 2.1, 2.5, 9.0):
        spread = student_prior(degrees=degrees).moments()[1].tolist()
        assert spread == pytest.approx([scale * stats.t(degrees).std() if degrees > 2 else math.inf for scale in (0.3, 2.0)])


def test_chi_squares_are_the_same_numbers_in_float32():
    like = torch.empty(500, 2, dtype=torch.float64)
    exact, rough = student_prior().draw(like, stream(4)), StudentTPrior(StudentTConfig(degrees=5.0), 2).draw(like.float(), stream(4))
    assert torch.equal(rough["chi2"], exact["chi2"].float())


def test_fixed_degrees_of_freedom_are_no_parameter_and_learned_ones_start_where_the_settings_say():
    assert set(dict(student_prior().named_parameters())) == {"location", "log_scale"}
    part = learned_prior(7.0)
    assert set(dict(part.named_parameters())) == {"location", "log_scale", "log_stretch"}
    assert part.degrees.tolist() == [7.0]
    assert part.scalars() == pytest.approx({"scale": 0.3, "degrees": 7.0})
    part.log_stretch.data -= 100.0
    assert part.degrees.item() >= 1
    assert StudentTConfig(degrees=1.0, train_degrees=True).rules() == ["degrees: must be > 1 with train_degrees, got 1"]
    assert StudentTConfig(degrees=1.0).rules() == []


@pytest.mark.parametrize("degrees", [1.0001, 5.0, 1e4])
def test_learned_degrees_have_finite_gradients_in_float32(degrees):
    part = StudentTPrior(StudentTConfig(degrees=degrees, train_degrees=True), 2)
    mean = torch.zeros(2000, 2)
    part.kl(mean, mean + 0.1, part.draw(mean, stream(0))).mean().backward()
    assert all(value.grad.isfinite().all() for value in part.parameters())


def test_the_null_prior_costs_nothing_and_generates_zeros(rng):
    part, mean = NullPrior(), tensor(rng.normal(size=(3, 4, 2)))
    assert torch.equal(part.kl(mean, mean.abs(), {}), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(part.generate(mean, stream(0)), torch.zeros_like(mean))
    assert list(part.parameters()) == []
