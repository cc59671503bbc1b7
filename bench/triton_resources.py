"""What the Triton kernels need of a GPU, without a GPU: registers, shared memory, spills and instructions, from the compiler.

    python bench/triton_resources.py --config S1 S2 --products ieee bf16 --arch 90

The kernels of a training step are compiled as they would be launched, for the shapes of the published step times.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lfads_core.recurrence import triton_controlled, triton_controlled_kernels, triton_gru, triton_gru_kernels
from lfads_core.recurrence.triton_tiles import H100, PACKER, SMALLEST, Card, Products, Tiles, choose_tiles

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16"}
CARDS = {80: Card(processors=108, shared=163 * 1024), 86: SMALLEST, 89: SMALLEST, 90: H100}
"""What a program may take on cards of each compute capability; registers are 255 a thread at most on all, and what is beyond is spilt."""
MOST_STACK = 512
"""Bytes of spills a thread that are let pass: a few loads from the first-level cache a bin."""
WATCHED = ("FFMA", "DFMA", "HMMA", "HGMMA", "LDG", "LDGSTS", "LDS", "LDSM", "STS", "STG", "BAR", "MUFU", "SHFL", "LDL", "STL")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of one published configuration: loops are (trials, bins, hidden), the closed loop adds (con, inputs, factors)."""

    trials: int
    bins: int
    encoders: tuple[int, ...]
    gen: int
    factors: int
    con: int = 0
    inputs: int = 0


SHAPES = {
    "S1": Shape(trials=64, bins=100, encoders=(100, 64), gen=100, con=64, inputs=1, factors=40),
    "S2": Shape(trials=256, bins=45, encoders=(64,), gen=200, con=64, inputs=4, factors=100),
    "S3": Shape(trials=100, bins=180, encoders=(100, 80), gen=100, con=80, inputs=4, factors=40),
    "S4": Shape(trials=128, bins=100, encoders=(128,), gen=200, factors=20),
}


TINY = Shape(trials=3, bins=2, encoders=(5,), gen=6, factors=3, con=4, inputs=1)
"""What Triton's interpreter can run in no time."""


@dataclass
class Recorder:
    """Stands in for a kernel and keeps how it would have been launched."""

    kernel: Any
    calls: list[tuple[tuple[int, ...], tuple[Any, ...], dict[str, int]]] = field(default_factory=list)

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        """Take a launch."""
        return lambda *arguments, **options: self.calls.append((grid, arguments, options))


@dataclass(frozen=True, kw_only=True)
class Resources:
    """One compiled kernel."""

    name: str
    grid: tuple[int, ...]
    held: int
    warps: int
    registers: int
    shared: int
    stack: int
    seconds: float
    operations: dict[str, int]
    sass: str

    def __str__(self) -> str:
        counts = " ".join(f"{name}:{self.operations[name]}" for name in WATCHED if self.operations.get(name))
        launch = f"{self.name:20} grid {self.grid!s:9} held {self.held} warps {self.warps}"
        needs = f"regs {self.registers:3} shared {self.shared / 1024:5.1f} KiB stack {self.stack}"
        return f"{launch} {needs} ({self.seconds:.0f} s) n {sum(self.operations.values())} {counts}"


def compiled(kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], options: dict[str, int], arch: int) -> Resources:
    """Compile a recorded launch down to machine code and read what it needs."""
    signature, constants, attributes = {}, {}, {}
    for index, (parameter, value) in enumerate(zip(kernel.params, arguments, strict=True)):
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = "*" + TYPES[value.dtype]
            attributes[index,] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32"
    began = time.perf_counter()
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    result = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    seconds = time.perf_counter() - began
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage = subprocess.run([TOOLS / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        sass = subprocess.run([TOOLS / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if found is None:
        raise RuntimeError(f"cuobjdump: no resource usage in {usage!r}")
    names = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)", sass, re.MULTILINE)
    return Resources(
        name=kernel.fn.__name__, grid=grid, held=constants["HELD"], warps=options["num_warps"], registers=int(found[1]), stack=int(found[2]),
        shared=result.metadata.shared, seconds=seconds, operations=dict(Counter(names)), sass=sass,
    )  # fmt: skip


def recorded(
    shape: Shape,
    products: Products,
    dtype: torch.dtype,
    members: int = 1,
    card: Card = H100,
    device: str = "cpu",
    choose: Callable[..., Tiles] = choose_tiles,
) -> Iterator[tuple[str, Recorder]]:
    """The launches of one training step, on tensors of zeros; ``choose`` may cut up their work in another way."""
    new = functools.partial(torch.zeros, dtype=dtype, device=device)
    for hidden, axes in [*((h, (2 * members, shape.trials)) for h in shape.encoders), *(() if shape.con else [(shape.gen, (members, shape.trials))])]:
        tiles = choose(products=products, widest_layer=hidden, blocks=triton_gru.blocks(hidden), members=axes[0], trials=axes[1], card=card)
        call = triton_gru.GRUCall(hidden=hidden, clip=5.0, reverse=False, products=products, tiles=tiles, learn=True)
        modules = triton_gru_kernels
        with replaced(modules, "gru_forward") as forward, replaced(modules, "gru_backward") as backward:
            packed = PACKER([new(axes[0], 3 * hidden, hidden)], triton_gru.layout, products)
            drive = new(axes[0], shape.bins, axes[1], 3 * hidden)
            states, gates, n, _ = triton_gru.run_forward(call, drive, new(*axes, hidden), packed)
            triton_gru.run_backward(call, n, packed, states, gates, n)
        yield f"gru {hidden}", forward
        yield f"gru {hidden}", backward
    if shape.con:
        B, T, C, G, U, F = shape.trials, shape.bins, shape.con, shape.gen, shape.inputs, shape.factors
        M = members
        multiplied = triton_controlled.blocks(C, G, U, F)
        tiles = choose(products=products, widest_layer=max(C, G), blocks=multiplied, members=M, trials=B, card=card)
        call = triton_controlled.LoopCall(
            con=C, gen=G, inputs=U, factors=F, clip=5.0, products=products, tiles=tiles, given=(True, True, True), learn=True
        )
        given = triton_controlled.LoopTensors(
            new(M, T, B, F),
            new(M, T, B, G),
            new(M, T, B, U),
            new(M, T, B, 3 * C),
            new(M, T, B, 3 * G),
            new(M, B, C),
            new(M, B, G),
            new(M, B, F),
            new(M, 3 * C, F),
            new(M, 3 * C, C),
            new(M, 2 * U, C),
            new(M, 2 * U),
            new(M, 3 * G, U),
            new(M, 3 * G, G),
            new(M, F, G),
        )
        with (
            replaced(triton_controlled_kernels, "controlled_forward") as forward,
            replaced(triton_controlled_kernels, "controlled_backward") as backward,
        ):
            packed = PACKER(given.weights(), triton_controlled.layout, products)
            kept = triton_controlled.run_forward(call, given, packed)
            paths = kept.paths(call)
            triton_controlled.run_backward(call, given, kept, packed, (None, paths[1], None, paths[3], paths[4], None), learn_noise=False)
        yield "closed loop", forward
        yield "closed loop", backward


class replaced:  # noqa: N801
    """Put a recorder in a kernel's place for a while."""

    def __init__(self, module: Any, name: str) -> None:
        self.module, self.name, self.kernel = module, name, getattr(module, name)

    def __enter__(self) -> Recorder:
        recorder = Recorder(self.kernel)
        setattr(self.module, self.name, recorder)
        return recorder

    def __exit__(self, *_: object) -> None:
        setattr(self.module, self.name, self.kernel)


def main() -> None:
    """Print a line for each kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=list(SHAPES))
    parser.add_argument("--products", nargs="+", default=["ieee", "tf32", "bf16"])
    parser.add_argument("--arch", type=int, nargs="+", default=[90], choices=sorted(CARDS))
    parser.add_argument("--members", type=int, nargs="+", default=[1])
    parser.add_argument("--sass", type=Path)
    args = parser.parse_args()
    beyond = []
    for name, members, products, arch in itertools.product(args.config, args.members, args.products, args.arch):
        for what, recorder in recorded(SHAPES[name], products, torch.float32, members, CARDS[arch]):
            result = compiled(recorder.kernel, *recorder.calls[0], arch)
            print(name, f"x{members}", products, arch, what, result, flush=True)
            if result.shared > CARDS[arch].shared or result.stack > MOST_STACK:
                beyond.append(f"{name} x{members} {products} {arch} {what} {result.name}")
            if args.sass:
                (args.sass / f"{name}_{members}_{products}_{arch}_{result.name}_{what.replace(' ', '')}.sass").write_text(result.sass)
    if beyond:
        sys.exit(f"more shared memory than there is, or more than {MOST_STACK} bytes of spills a thread: {'; '.join(beyond)}")


if __name__ == "__main__":
    main()
