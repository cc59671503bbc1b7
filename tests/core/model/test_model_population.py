"""Several models in one pass: outputs and all gradients are those of each alone."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from backends import ON_CPU
from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.model.build import build_stacks
from lfads_core.model.outputs import Posterior
from lfads_core.model.population import forward_population
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.rng import stream

NOTHING = AugmentationStack((), ())

WHOLE = pytest.mark.parametrize("backend", ON_CPU)
CASES = {
    "plain": {},
    "no controller": {"settings": ["model.controller=null"]},
    "no external input": {"external": 0},
    "no controller, no external input": {"settings": ["model.controller=null"], "external": 0},
    "segment for the initial condition": {"settings": ["model.encoder.ic_bins=3"]},
    "no lag": {"settings": ["model.controller.lag_bins=0"]},
    "several sessions": {"channels": {"a": (6, 8), "b": (3, 5)}},
    "no dropout": {"settings": ["model.dropout=0"]},
    "posterior means": {"settings": ["model.variational=false"]},
    "clip in action": {"settings": ["model.cell_clip=0.3"]},
    "student-t priors": {"settings": ["components.ic_prior=student-t", "components.input_prior={name: student-t, train_degrees: true}"]},
    "no priors": {"settings": ["components.ic_prior=null", "components.input_prior=null"]},
    "normal prior of inputs": {"settings": ["components.input_prior=normal"]},
    "trained variance": {"settings": ["components.ic_prior={name: normal, train_variance: true, max_variance: 0.3}"]},
    "causal controller": {"settings": ["model.controller.causal=true"]},
    "controller without feedback": {"settings": ["model.controller.feedback=none"]},
    "rates fed back": {"settings": ["model.controller.feedback=rates"]},
    "external inputs through the encoders": {"settings": ["model.external_inputs=encoders"]},
    "initial condition from a few bins": {"settings": ["model.encoder.read_bins=3"]},
    "transformer": {"settings": ["components.encoder=transformer"]},
    "transformer that reads forwards": {"settings": ["components.encoder={name: transformer, window: 2}", "model.controller.causal=true"]},
    "lstm": {"settings": ["components.encoder=lstm"]},
    "mlp": {"settings": ["components.generator={name: mlp, hidden: 5}"]},
    "low rank": {"settings": ["components.generator={name: low-rank, rank: 2}"]},
    "linear dynamics": {"settings": ["components.generator=linear-dynamics", "model.controller=null"]},
    "context": {"settings": ["components.latents=[{name: context, kl: 0.1}]"]},
    "context beside the initial condition": {
        "settings": ["components.latents=[{name: context, enters: initial, kl: 0.1}]", "components.generator=mlp"]
    },
    "price on correlation in time": {"settings": ["components.losses=[{name: input-correlation, scale: 0.7, increase_epochs: 3}]"]},
}
OWN = (
    "model.dropout=0.1",
    "regularisation.kl_ic=0.3",
    "components.train_augmentations=[{name: coordinated-dropout, rate: 0.6}]",
    "regularisation.kl_ramp.increase_epochs=3",
)
"""Settings in which the second of three members differs from the others."""


def members_of(make_model, settings, case, backend):
    """Three models with weights of their own, the second with scales and rates of its own."""
    chosen, sizes = case.get("settings", []), {key: value for key, value in case.items() if key != "settings"}
    found = []
    for seed in range(3):
        own = [text for text in OWN if seed == 1 and text.split("=")[0] not in {part.split("=")[0] for part in chosen}]
        overrides = [*chosen, *own, f"train.seed={seed}"]
        model = make_model(*overrides, **sizes)
        model.loops = choose_recurrence(backend, "cpu")
        with torch.no_grad():
            for p in model.parameters():  # nothing may hide behind zeros
                p.add_(torch.randn(p.shape, generator=stream(seed, "more"), dtype=p.dtype), alpha=0.1)
        found.append((model, settings(*overrides)))
    return found


def given(model, config, make_batch, case, seed, trials=4):
    """A member's own augmented batches and noise."""
    stack = build_stacks(config, load_registry())[0]
    channels = case.get("channels", {"a": (6, 8)})
    raw = {
        name: make_batch(trials + i, channels=sizes, external=case.get("external", 2), seed=100 * seed + i)
        for i, (name, sizes) in enumerate(channels.items())
    }
    rng = stream(seed, "step")
    batches = augmented(raw, stack, config.model.encoder.ic_bins, rng)
    total = sum(batch.trials.shape[0] for batch in batches.values())
    return batches, model.draw_noise(total, rng, sample=config.model.variational, dropout=True), stack


def tensors_of(output):
    """Every tensor of a model's output by name."""
    found = {f"params/{name}": value for name, value in output.params.items()}
    for field in fields(output.latents):
        value = getattr(output.latents, field.name)
        if isinstance(value, dict):
            found |= {f"{name}{end}": part for name, q in value.items() for end, part in (("/mean", q.mean), ("/std", q.std))}
            continue
        parts = {"": value} if not isinstance(value, Posterior) else {"/mean": value.mean, "/std": value.std}
        found |= {field.name + end: part for end, part in parts.items() if part is not None}
    return found


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def compare(members, inputs, tolerance, epoch=2):
    """Outputs, losses and gradients of one batched pass against each model's own pass."""
    models = [model for model, _ in members]
    alone = []
    for (model, config), (batches, noise, stack) in zip(members, inputs, strict=True):
        model.zero_grad()
        output = model(batches, noise)
        losses = Objective.of(config)(model, batches, output, noise, stack, epoch)
        losses.total.backward()
        alone.append((tensors_of(output), losses.total.detach(), gradients(model)))
        model.zero_grad()
    outputs = forward_population(models, [one[0] for one in inputs], [one[1] for one in inputs])
    totals = [
        Objective.of(config)(model, batches, output, noise, stack, epoch).total
        for (model, config), (batches, noise, stack), output in zip(members, inputs, outputs, strict=True)
    ]
    torch.autograd.backward(totals)
    for model, output, total, (expected, loss, slopes) in zip(models, outputs, totals, alone, strict=True):
        torch.testing.assert_close(tensors_of(output), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(total.detach(), loss, rtol=tolerance, atol=tolerance)
        assert gradients(model).keys() == slopes.keys()
        for name, value in gradients(model).items():
            scale = slopes[name].abs().amax().clamp(min=1.0) if value.numel() else 1.0
            torch.testing.assert_close(value / scale, slopes[name] / scale, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.long
@WHOLE
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_batched_pass_gives_each_member_the_outputs_losses_and_gradients_it_has_alone(case, backend, make_model, settings, make_batch):
    members = members_of(make_model, settings, case, backend)
    inputs = [given(model, config, make_batch, case, seed) for seed, (model, config) in enumerate(members)]
    compare(members, inputs, 1e-12)


@WHOLE
def test_a_batched_pass_in_single_precision_agrees_to_two_millionths(backend, make_model, settings, make_batch):
    members = [(model.float(), config) for model, config in members_of(make_model, settings, {}, backend)]
    inputs = []
    for seed, (model, config) in enumerate(members):
        double = given(model, config, make_batch, {}, seed)
        inputs.append((_single(double[0]), double[1], double[2]))
    compare(members, inputs, 2e-6)


def _single(batches):
    from dataclasses import replace

    def cast(batch):
        floats = {f: getattr(batch, f).float() for f in ("encod", "recon", "external")}
        return replace(batch, **floats, masks={key: value.float() if value.is_floating_point() else value for key, value in batch.masks.items()})

    return {name: cast(batch) for name, batch in batches.items()}


@WHOLE
def test_members_with_fewer_trials_are_filled_up_and_see_none_of_it(backend, make_model, settings, make_batch):
    members = members_of(make_model, settings, {}, backend)
    inputs = [given(model, config, make_batch, {}, seed, trials=3 + seed) for seed, (model, config) in enumerate(members)]
    compare(members, inputs, 1e-12)


def test_some_members_may_sample_and_drop_while_others_do_not(make_model, settings, make_batch):
    members = members_of(make_model, settings, {}, "reference")
    inputs = []
    for seed, (overrides, sampled) in enumerate(((["model.dropout=0"], True), ([], False), ([], True))):
        config = settings(*overrides)
        model = make_model(*overrides, f"train.seed={seed}")
        members[seed] = (model, config)
        batches, _, stack = given(model, config, make_batch, {}, seed)
        inputs.append((batches, model.draw_noise(4, stream(seed), sample=sampled, dropout=True), stack))
    compare(members, inputs, 1e-12)


def test_one_member_is_its_plain_pass(make_model, make_batch):
    model = make_model()
    batch, noise = {"a": make_batch()}, model.draw_noise(3, stream(0), sample=True, dropout=True)
    (output,) = forward_population([model], [batch], [noise])
    assert torch.equal(output.params["a"], model(batch, noise).params["a"])


@WHOLE
def test_nan_of_one_member_reaches_no_other(backend, make_model, settings, make_batch):
    members = members_of(make_model, settings, {}, backend)
    inputs = [given(model, config, make_batch, {}, seed) for seed, (model, config) in enumerate(members)]
    models = [model for model, _ in members]
    before = [gradients_of(models, members, inputs, spoilt=None)[i] for i in range(3)]
    with torch.no_grad():
        models[1].decoder.generator.recurrent.fill_(float("nan"))
    after = gradients_of(models, members, inputs, spoilt=1)
    for i in (0, 2):
        for name, value in before[i].items():
            assert torch.equal(value, after[i][name]), name


def gradients_of(models, members, inputs, spoilt):
    """Everybody's gradients of one batched pass; the spoilt member's loss is left out, as training does."""
    for model in models:
        model.zero_grad()
    outputs = forward_population(models, [one[0] for one in inputs], [one[1] for one in inputs])
    totals = [
        Objective.of(config)(model, batches, output, noise, stack, 2).total
        for (model, config), (batches, noise, stack), output in zip(members, inputs, outputs, strict=True)
    ]
    torch.autograd.backward([total for i, total in enumerate(totals) if i != spoilt])
    return [{name: value.clone() for name, value in gradients(model).items()} for model in models]


@WHOLE
def test_the_order_of_members_does_not_matter(backend, make_model, settings, make_batch):
    members = members_of(make_model, settings, {}, backend)
    inputs = [given(model, config, make_batch, {}, seed) for seed, (model, config) in enumerate(members)]
    straight = forward_population([model for model, _ in members], [one[0] for one in inputs], [one[1] for one in inputs])
    turned = forward_population([model for model, _ in members[::-1]], [one[0] for one in inputs[::-1]], [one[1] for one in inputs[::-1]])
    for one, other in zip(straight, turned[::-1], strict=True):
        for name, value in tensors_of(one).items():  # where a matrix lies in memory decides how MKL multiplies it on a processor with AVX512
            torch.testing.assert_close(value, tensors_of(other)[name], rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", ["reference", "fused"])
def test_what_a_pass_keeps_for_its_way_back_grows_in_proportion_to_the_members(backend, make_model, make_batch):
    def kept(count):
        models = [make_model(f"train.seed={seed}") for seed in range(count)]
        for model in models:
            model.loops = choose_recurrence(backend, "cpu")
        noises = [model.draw_noise(3, stream(seed), sample=True, dropout=True) for seed, model in enumerate(models)]
        storages = {}

        def weigh(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # held, so that no address is used twice
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            outputs = forward_population(models, [{"a": make_batch(seed=seed)} for seed in range(count)], noises)
        assert len(outputs) == count
        return sum(storage.nbytes() for storage in storages.values())

    two, eight = kept(2), kept(8)
    assert eight == pytest.approx(4 * two, rel=0.02)
