"""Cases that several sides share: compared first, then measured in turns."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarking.cases import LOADS, TRAINING, work
from benchmarking.comparison import OURS, compare, compare_half
from benchmarking.timing import ratios
from benchmarking.turns import Turns, type_name


class Measurement:
    """Every case of a run, compared and then measured.

    Args:
        turns: The sides.
        rooflines: What the machine can do at most, by type; see `workers.roofline`.
        warmup: See `Turns.time`.
        repeats: See `Turns.time`.
        calls: Calls in a row per measurement of short cases.
        seconds: See `Turns.time`; of each case.
        tell: Takes a line on what is done now.
    """

    def __init__(
        self,
        turns: Turns,
        rooflines: Mapping[str, Mapping[str, float]],
        *,
        warmup: int,
        repeats: int,
        calls: int,
        seconds: float | None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tell = tell
        self._turns, self._rooflines = turns, rooflines
        self._warmup, self._repeats, self._calls = warmup, repeats, calls
        self._seconds = seconds
        self._counted: dict[str, dict[str, int]] = {}

    def run(self, cases: list[str], entries: dict[str, Any]) -> None:
        """Add the entry of each case to those of the report as soon as it is measured.

        Inference is compared in float32 for all cases before the first clock starts; training,
        which leaves other weights, comes last.

        Raises:
            OutputsDifferError: Where sides do not compute the same.
            SideError: This package's process ended or failed.
        """
        turns = self._turns
        inference = [case for case in cases if case not in TRAINING]
        training = [case for case in cases if case in TRAINING]
        if not cases:
            return
        self._tell("loading, and comparing outputs ...")
        turns.open(torch.float32)
        agreement: dict[str, dict[str, Any]] = {}
        own: dict[str, dict[str, Any]] = {}
        for case in inference:
            sides = turns.prepare(case)
            own[case] = turns.outputs(case, sides) if case != "load" else dict.fromkeys(sides)
            agreement[case] = {"float32": compare(case, own[case]) if case != "load" else {}}
        half = turns.dtype != torch.float32
        if half and inference:
            turns.open(turns.dtype)
        for case in inference:
            if not turns.clock.has_time(case):
                continue
            sides = [side for side in turns.prepare(case) if side in own[case]]
            if half and case != "load":
                sides, told = self._half(case, sides, own[case])
                agreement[case] |= told
            entries[case] = self._entry(case, sides) | {"agreement": agreement[case]}
        if half and training and inference:
            turns.open(torch.float32)
        for case in training:
            if turns.clock.has_time(case):
                entries[case] = self._trained(case)

    def _half(
        self, case: str, sides: list[str], own: Mapping[str, Tensor]
    ) -> tuple[list[str], dict[str, Any]]:
        """Compare in half precision; return the sides that could, and how far they are."""
        dtype = self._turns.dtype
        outputs = self._turns.outputs(case, sides)
        return list(outputs), {type_name(dtype): compare_half(case, outputs, own, dtype)}

    def _trained(self, case: str) -> dict[str, Any]:
        turns = self._turns
        own = turns.outputs(case, turns.prepare(case))
        sides, agreement = list(own), {"float32": compare(case, own)}
        if turns.dtype != torch.float32:
            sides = [side for side in turns.prepare(case, mixed=turns.dtype) if side in own]
            sides, told = self._half(case, sides, own)
            agreement |= told
        return self._entry(case, sides) | {"agreement": agreement}

    def _entry(self, case: str, sides: list[str]) -> dict[str, Any]:
        turns = self._turns
        self._tell(f"{case} ...")
        done = work(case, turns.shared, frames=turns.frames(case), steps=turns.steps)
        memory = turns.ask_all(sides, "memory")
        operations = self._operations(case, list(memory))
        once = case in ("load", "clip", *TRAINING)
        times = turns.time(
            list(operations),
            warmup=self._warmup,
            repeats=min(self._repeats, LOADS) if case == "load" else self._repeats,
            calls=1 if once else self._calls,
            seconds=self._seconds,
        )
        return {
            "shape": done.shape,
            "parameters": done.parameters,
            "amount": done.amount,
            "unit": done.unit,
            "sides": {
                side: times[side].to_json()
                | {
                    "memory": memory[side],
                    "operations": operations[side],
                    "roofline": self._share(operations[side], done.parameters, times[side].median),
                }
                if side in times
                else None
                for side in turns.names
            },
            "ratios": {
                side: ratios(times[side], times[OURS]).to_json() for side in times if side != OURS
            },
        }

    def _operations(self, case: str, sides: list[str]) -> dict[str, int]:
        """Return a call's operations; of a clip they are those of its parts where these are known.

        Counting takes far longer than what is counted.
        """
        found = {}
        for side in sides:
            known = self._counted.setdefault(side, {})
            if case == "clip" and {"text", "step", "decode"} <= known.keys():
                steps = self._turns.steps * known["step"]
                found[side] = known["text"] + steps + known["decode"]
            elif case == "load":
                found[side] = 0
            elif answer := self._turns.ask_all([side], "operations"):
                found[side] = known[case] = answer[side]["operations"]
        return found

    def _share(self, operations: int, parameters: int, seconds: float) -> float:
        """Return what share of its time a call would need at least: for products, or for weights.

        Weights are read once.
        """
        kind = self._rooflines[type_name(self._turns.dtype)]
        least = max(
            operations / kind["operations_per_second"],
            parameters * self._turns.dtype.itemsize / kind["bytes_per_second"],
        )
        return least / seconds
