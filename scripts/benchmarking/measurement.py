"""Cases that several sides share: compared first, then measured in turns."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

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

    def run(self, cases: list[str]) -> dict[str, Any]:
        """Return the entry of each case in the report.

        Inference is compared in float32 for all cases before the first clock starts; training,
        which leaves other weights, comes last.

        Raises:
            OutputsDifferError: Where sides do not compute the same.
            SideError: A side's process ended or failed.
        """
        turns, entries = self._turns, dict[str, Any]()
        inference = [case for case in cases if case not in TRAINING]
        training = [case for case in cases if case in TRAINING]
        if not cases:
            return entries
        self._tell("loading, and comparing outputs ...")
        turns.open(torch.float32)
        agreement, own = {}, {}
        for case in inference:
            sides = turns.prepare(case)
            own[case] = turns.outputs(case, sides) if case != "load" else {}
            agreement[case] = {"float32": compare(case, own[case]) if own[case] else {}}
        half = turns.dtype != torch.float32
        if half and inference:
            turns.open(turns.dtype)
        for case in inference:
            if not turns.clock.has_time(case):
                continue
            sides = turns.prepare(case)
            if half and case != "load":
                outputs = turns.outputs(case, sides)
                agreement[case][type_name(turns.dtype)] = compare_half(
                    case, outputs, own[case], turns.dtype
                )
            entries[case] = self._entry(case, sides) | {"agreement": agreement[case]}
        if half and training and inference:
            turns.open(torch.float32)
        for case in training:
            if turns.clock.has_time(case):
                entries[case] = self._trained(case)
        return entries

    def _trained(self, case: str) -> dict[str, Any]:
        turns = self._turns
        sides = turns.prepare(case)
        own = turns.outputs(case, sides)
        agreement = {"float32": compare(case, own)}
        if turns.dtype != torch.float32:
            sides = turns.prepare(case, mixed=turns.dtype)
            outputs = turns.outputs(case, sides)
            agreement[type_name(turns.dtype)] = compare_half(case, outputs, own, turns.dtype)
        return self._entry(case, sides) | {"agreement": agreement}

    def _entry(self, case: str, sides: list[str]) -> dict[str, Any]:
        turns = self._turns
        self._tell(f"{case} ...")
        done = work(case, turns.shared, frames=turns.frames(case), steps=turns.steps)
        memory = {side: turns.ask(side, "memory") for side in sides}
        operations = {side: self._operations(case, side) for side in sides}
        once = case in ("load", "clip", *TRAINING)
        times = turns.time(
            sides,
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
                if side in sides
                else None
                for side in turns.sides
            },
            "ratios": {
                side: ratios(times[side], times[OURS]).to_json() for side in sides if side != OURS
            },
        }

    def _operations(self, case: str, side: str) -> int:
        """Return a call's operations; of a clip they are those of its parts where these are known.

        Counting takes far longer than what is counted.
        """
        known = self._counted.setdefault(side, {})
        if case == "clip" and {"text", "step", "decode"} <= known.keys():
            found = known["text"] + self._turns.steps * known["step"] + known["decode"]
        elif case == "load":
            found = 0
        else:
            found = self._turns.ask(side, "operations")["operations"]
        known[case] = found
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
