"""Products in bfloat16 outside the loops: how far off they are, and that everything else stays float32."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lfads_core.config.load import resolve
from lfads_core.data.loader import epoch_batches
from lfads_core.errors import ConfigError
from lfads_core.infer.loading import load
from lfads_core.plugins import load_registry
from lfads_core.recurrence.choose import obstacle
from lfads_core.recurrence.fused_gru import time_first_affine
from lfads_core.recurrence.precision import check_precision, mixed
from lfads_core.recurrence.reference import affine
from lfads_core.rng import stream
from lfads_core.train.evaluate import validate_each
from lfads_core.train.loop import fit
from lfads_core.train.shards import train_in_shards
from lfads_plugins_tune.search.shape import shape_of

BF16 = "train.precision=bf16"
UNIT = 2.0**-8
"""Half the distance of 1 from the next number of 8 binary digits: what rounding to bfloat16 changes at most, relatively."""
PRODUCT = (1 + UNIT) ** 3 - 1
"""Most that a product is off by, relative to the sum of its terms' sizes: both factors and the result are rounded."""
ON_THE_WAY = 5
"""Products that a value passes outside the loops on its way to the rates: read-in, drive of an encoder, posterior, first state, read-out."""
CPU = torch.device("cpu")


def usable(name):
    why_not = obstacle(name, "cpu")
    return pytest.param(name, marks=[] if why_not is None else pytest.mark.skip(reason=f"{name}: {why_not}"))


def first_step(trainer):
    """The trials and noise of the first step."""
    trainer.begin()
    raw = next(epoch_batches(trainer.data.splits["train"], trainer.config.data.batch_size, stream(0)))
    return trainer.prepare(0, raw)


def passed(trainer, ready, precision):
    """Output, losses and gradients of one step, after all ramps."""
    model = trainer.model
    model.precision = precision
    trainer.optimizer.zero_grad()
    with mixed(model.precision, model.device):
        output = model(ready.batches, ready.noise)
    losses = trainer.objective(*priced(trainer, ready, output))
    losses.total.backward()
    return output, losses, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def tensors(value) -> Iterator[torch.Tensor]:
    """Every tensor in nested records and mappings."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


class Products(TorchDispatchMode):
    """Counts matrix products by the type of their factors."""

    def __init__(self):
        super().__init__()
        self.bf16 = self.float32 = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm}:
            narrow = any(isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 for value in args)
            self.bf16 += narrow
            self.float32 += not narrow
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("members", [(), (3,)])
@pytest.mark.parametrize("product", [affine, lambda x, w, b: time_first_affine(x, w, b).movedim(0, -2)], ids=["affine", "time first"])
def test_a_product_is_off_by_no_more_than_the_rounding_of_its_factors_and_itself(product, members):
    rng = stream(0)
    x, weight, bias = (torch.empty(*members, *shape).normal_(generator=rng) for shape in ((4, 6, 50), (7, 50), (7,)))
    with mixed("bf16", CPU):
        got = product(x, weight, bias)
    along = bias.reshape(*members, *[1] * (x.dim() - len(members) - 1), 7) if members else bias
    exact = torch.einsum("...i,oi->...o", x, weight) if not members else torch.einsum("mbti,moi->mbto", x, weight)
    terms = torch.einsum("...i,oi->...o", x.abs(), weight.abs()) if not members else torch.einsum("mbti,moi->mbto", x.abs(), weight.abs())
    off = (got - exact - along).abs()
    assert got.dtype == torch.float32
    assert bool((off <= PRODUCT * (terms + along.abs())).all())
    assert float(off.max()) > 1e-4  # float32 would be off by less


@pytest.mark.parametrize("recurrence", [usable(name) for name in ("reference", "fused", "compiled")])
@pytest.mark.parametrize("plugins", ["spikes", "zig", "emg"])
def test_loss_and_gradient_are_those_of_float32_to_the_rounding_of_the_products(recurrence, plugins, make_trainer, write_tiny):
    rng = torch.Generator().manual_seed(0)
    positive = (torch.empty(12, 8, 5).exponential_(generator=rng) + 0.1).numpy()
    data = write_tiny(train_encod_data=positive, valid_encod_data=positive[:6]) if plugins != "spikes" else write_tiny()
    plain = (
        f"train.recurrence={recurrence}",
        "components.train_augmentations=[]",
        "components.loss_order=null",
    )  # coordinated dropout lets half of the slopes through
    trainer = make_trainer("run", *plain, data=data, plugins=(plugins,))
    ready = first_step(trainer)
    output, losses, gradient = passed(trainer, ready, "float32")
    other_output, other_losses, other = passed(trainer, ready, "bf16")
    (params,), (other_params,) = output.params.values(), other_output.params.values()
    most = ON_THE_WAY * PRODUCT
    change = (other_params - params).detach()
    assert 0 < float(change.abs().max()) <= most * float(params.detach().abs().max())
    slopes = torch.autograd.grad(trainer.objective(*priced(trainer, ready, output)).recon, params, retain_graph=True)[0]
    expected = float((slopes.abs() * change.abs()).sum())  # to first order a change of the parameters costs no more
    assert abs(float((other_losses.recon - losses.recon).detach())) <= 1.5 * expected
    one, two = (torch.cat([g[name].flatten() for name in sorted(gradient)]) for g in (gradient, other))
    assert not torch.equal(one, two)
    off = 2 * most  # there and back
    assert float(torch.linalg.vector_norm(one - two)) <= off * float(torch.linalg.vector_norm(one))
    assert float(torch.cosine_similarity(one, two, dim=0)) >= 1 - off**2 / 2


def priced(trainer, ready, output):
    """What the objective is given."""
    return trainer.model, ready.batches, output, ready.noise, trainer.train_stack, 100


@pytest.mark.long
@pytest.mark.parametrize(
    "overrides",
    [
        ("train.recurrence=reference",),
        ("train.recurrence=fused", "components.readin=linear", "components.ic_prior=student-t"),
        ("model.controller=null", "train.recurrence=fused"),
        ("model.controller.feedback=rates",),
        ("model.controller.feedback=none", "train.recurrence=reference"),
        ("model.controller.causal=true", "train.recurrence=fused"),
    ],
)
def test_all_that_a_step_hands_on_is_float32(overrides, make_trainer, monkeypatch):
    if "model.controller=null" in overrides:
        monkeypatch.setattr("lfads_core.config.load.resolve", without_controller(resolve))
    trainer, inside = make_trainer("run", BF16, *overrides), []
    model = trainer.model
    assert model.precision == "bf16"

    def watched(method):
        def call(*given, **more):
            inside.append(torch.is_autocast_enabled("cpu"))
            assert all(value.dtype == torch.float32 for part in given for value in tensors(part) if value.is_floating_point())
            return method(*given, **more)

        return call

    for part in [model.ic_prior, model.input_prior, *model.reconstructions.values()]:
        for name in ("standardise", "kl", "nll"):
            if hasattr(part, name):
                monkeypatch.setattr(part, name, watched(getattr(part, name)))
    ready = first_step(trainer)
    output, losses, gradient = passed(trainer, ready, "bf16")
    assert {value.dtype for value in tensors(output) if value.is_floating_point()} == {torch.float32}
    assert {value.dtype for value in tensors(losses)} == {torch.float32}
    assert {value.dtype for value in gradient.values()} == {torch.float32}
    assert len(inside) >= 3
    assert not any(inside)
    fit(trainer, lambda *_: None, lambda: False)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    moments = [value for of in trainer.optimizer.moments.values() for value in vars(of).values()]
    assert len(moments) > 3
    assert {value.dtype for value in moments} == {torch.float32}


def without_controller(original):
    """Settings as asked for, but for those of a controller that is not there."""

    def resolved(files, plugins, overrides, registry):
        return original(files, plugins, [text for text in overrides if not text.startswith("model.controller.")], registry)

    return resolved


@pytest.mark.parametrize("recurrence", ["reference", "fused"])
def test_products_within_the_loops_are_float32_however_many_bins_there_are(recurrence, make_trainer, write_tiny):
    import numpy as np

    counts = {}
    for bins in (8, 16):
        values = np.random.default_rng(0).poisson(1.0, (12, bins, 5)).astype(np.float32)
        data = write_tiny(f"bins{bins}.h5", train_encod_data=values, valid_encod_data=values[:6])
        trainer = make_trainer(f"{bins}", BF16, f"train.recurrence={recurrence}", data=data)
        ready = first_step(trainer)
        with Products() as counts[bins], mixed(trainer.model.precision, trainer.model.device):
            trainer.model(ready.batches, ready.noise)
    assert counts[8].bf16 == counts[16].bf16 > 5
    assert counts[16].float32 >= counts[8].float32 + 8 * 4


def test_validation_and_inference_are_float32(make_trainer, train_tiny):
    trainer = make_trainer("run", BF16)
    costs = []
    for precision in ("bf16", "float32"):
        trainer.model.precision = precision
        with Products() as products:
            costs.append(validate_each({0: trainer.tally()})[0].costs)
        assert (products.bf16, products.float32 > 5) == (0, True)
    assert costs[0] == costs[1]
    run = train_tiny(BF16, "train.epochs=1").run
    assert load(run.path).model.precision == "float32"


def test_by_default_nothing_is_cast(make_trainer, monkeypatch):
    monkeypatch.setattr(torch, "autocast", None)
    trainer = make_trainer("run", "train.epochs=2")
    with Products() as products:
        fit(trainer, lambda *_: None, lambda: False)
    assert products.bf16 == 0
    assert trainer.progress.epoch == 2


class Died(BaseException):
    """Stands for a kill: nothing in the program catches it."""


@pytest.mark.long
def test_a_killed_training_ends_as_an_unbroken_one(train_tiny, resume, end_state, tmp_path, monkeypatch):
    from lfads_core.train.trainer import Trainer

    whole, float32 = train_tiny(BF16, name="whole").run.path, train_tiny(name="float32").run.path
    save = Trainer.save

    def dying(self):
        if self.progress.epoch == 3:
            raise Died
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", dying)
        with pytest.raises(Died):
            train_tiny(BF16)
    resume()
    assert end_state(whole) == end_state(tmp_path / "runs/run")
    assert end_state(whole) != end_state(float32)


@pytest.mark.long
def test_members_of_a_population_train_in_it_too(make_trainer):
    settings = [(BF16, f"train.seed={seed}", "train.epochs=3") for seed in range(2)]
    alone, together = ([make_trainer(f"{name} {i}", *one) for i, one in enumerate(settings)] for name in ("alone", "together"))
    for trainer in alone:
        fit(trainer, lambda *_: None, lambda: False)
    with Products() as products:
        ends = list(train_in_shards(together, lambda *_: None, lambda: False, threads=1))
    assert [end.status for end in ends] == ["done", "done"]
    assert products.bf16 > 20
    for one, other in zip(alone, together, strict=True):
        assert other.progress.smoothed.value == pytest.approx(one.progress.smoothed.value, rel=PRODUCT)


def test_members_of_different_precision_are_not_one_batch():
    registry = load_registry()
    assert shape_of(resolve([], (), [], registry)) != shape_of(resolve([], (), [BF16], registry))


def test_a_device_that_cannot_is_refused(monkeypatch):
    check_precision("bf16", "cpu")
    check_precision("float32", "mps")
    with pytest.raises(ConfigError, match=f"^{re.escape('train.precision: bf16 must have a CPU or a CUDA device, got mps. Use float32.')}$"):
        check_precision("bf16", "mps")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"an old GPU ({device})")
    text = "train.precision: bf16 must have a GPU of compute capability 8.0 or more, got an old GPU (cuda:0). Use float32."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        check_precision("bf16", "cuda:0")
