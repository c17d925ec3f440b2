"""A model through the gate; where it does not pass, which layers it is, and passing without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scanside.compile.gate import Gate, Judgement, failure
from scanside.compile.graph import Array
from scanside.compile.sensitivity import LayerGain, hardest, leave_one_out, repair
from scanside.compile.unrounded import return_to_float
from scanside.compile.variants import Variants, engines_of, reference_engine
from scanside.runtime.manifest import Manifest

MakeVariants = Callable[[bytes, Sequence[str]], Variants]
Say = Callable[[str], None]


class Proof(NamedTuple):
    """failure: why not, in words; empty when the gate was passed. table: what each INT8 layer
    costs, where it was not passed at once. returned: layers that were returned to float."""

    variants: Variants
    judgement: Judgement
    failure: str
    table: list[LayerGain]
    returned: tuple[str, ...]


def prove(
    model: bytes,
    make_variants: MakeVariants,
    weights: Mapping[str, Array],
    manifest: Manifest,
    gate: Gate,
    say: Say,
    *,
    mend: bool,
) -> Proof:
    """Judge every file of a model, on every engine.

    make_variants: from a model, and the layers of it that were returned to float. weights: of every
    INT8 layer, as trained. mend: return the fewest layers to float that let the gate pass.
    """
    tried: dict[tuple[str, ...], tuple[Variants, Judgement]] = {}

    def without(names: Sequence[str]) -> bytes:
        return return_to_float(model, {name: weights[name] for name in names}) if names else model

    def judge(names: Sequence[str]) -> Judgement:
        key = tuple(sorted(names))
        if key not in tried:
            variants = make_variants(without(key), key)
            tried[key] = variants, gate.judge(engines_of(manifest, variants.members))
        return tried[key][1]

    def rank(names: Sequence[str]) -> list[LayerGain]:
        left = {name: weight for name, weight in weights.items() if name not in names}
        cases = hardest(gate, judge(names).verdict)
        return leave_one_out(
            without(names), left, lambda file: reference_engine(manifest, file), cases
        )

    problem = failure(judge(()).verdict)
    table: list[LayerGain] = []
    returned: tuple[str, ...] = ()
    if problem:
        say(f"{problem}; measuring which layer it is")
        table = rank(())
        for row in table[:3]:
            say(f"  {row.name}: {row.gain:+.3f} dB without INT8")
        if mend:
            returned = repair(table, rank, lambda names: not failure(judge(names).verdict))
    if returned:
        say(f"returned to float: {', '.join(returned)}")
        problem = ""
    variants, judgement = tried[tuple(sorted(returned))]
    return Proof(variants, judgement, problem, table, returned)
