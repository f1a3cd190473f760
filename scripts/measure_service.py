r"""Measure how the service does with many clients at once.

    python scripts/measure_service.py --clients 50 --seconds 60 --output service.json

A server is started on this machine, with a key for each client. Each asks for one sound after the
other, each with a seed of its own, listens to its events, fetches the file and looks whether seed
and prompt in its tags are those that it asked for. Refusals (429) are counted and waited for as
told. Then as many sounds are made one after another without the service, and the ratio of both
paces is printed, also by CPU time, which other work on the machine disturbs less; and the memory of
all processes after a quarter of the time and at the end.

In the end a long job is cancelled while another waits, and the steps are counted that it takes yet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import torch

from stable_audio_open.audio.writing.tags import read_tags
from stable_audio_open.pretrained import StableAudio

PROMPTS = ("deep kick drum", "tabla", "cowbell", "snare drum", "ambient choir", "bass hit")
LOCAL = "127.0.0.1"


class Found(NamedTuple):
    """What happened to the clients."""

    sounds: list[int]
    """Sounds of each client."""
    answers: Counter[str]
    """Answers to requests, by status, and mistakes."""
    elapsed: float
    """Seconds until the last sound was there."""


async def one_client(
    number: int, client: httpx.AsyncClient, args: argparse.Namespace, answers: Counter[str]
) -> int:
    """Ask for sounds until the time is over; return how many came."""
    end, made = time.monotonic() + args.seconds, 0
    while time.monotonic() < end:
        seed = number * 100_000 + made
        prompt = PROMPTS[seed % len(PROMPTS)]
        body = {"prompt": prompt, "seed": seed, "steps": args.steps, "duration": args.duration}
        response = await client.post("/v1/generate", json=body)
        answers[str(response.status_code)] += 1
        if response.status_code == 429:
            await asyncio.sleep(min(float(response.headers["retry-after"]), end - time.monotonic()))
            continue
        response.raise_for_status()
        place = response.headers["location"]
        last = await last_event(client, place)
        if last["event"] != "done":
            answers[f"event {last['event']}"] += 1
            continue
        content = (await client.get(f"{place}/result")).raise_for_status().content
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            Path(file.name).write_bytes(content)
            tags = read_tags(Path(file.name))
        if (tags["seed"], tags["prompt"]) != (seed, prompt):
            answers["another's sound"] += 1
        made += 1
    return made


async def last_event(client: httpx.AsyncClient, place: str) -> dict[str, Any]:
    """Listen to a job until it has ended."""
    found: dict[str, Any] = {"event": "none"}
    async with client.stream("GET", f"{place}/events") as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found = json.loads(line.removeprefix("data: "))
    return found


async def all_clients(
    address: str, keys: list[str], *, args: argparse.Namespace, memory: list[int], pid: int
) -> Found:
    """Let all clients ask at once."""
    answers: Counter[str] = Counter()
    begin = time.monotonic()

    async def look() -> None:
        await asyncio.sleep(args.seconds / 4)
        memory.append(resident(pid))

    async with AllClients(address, keys) as clients:
        looking = asyncio.ensure_future(look())
        sounds = await asyncio.gather(
            *(one_client(n, client, args, answers) for n, client in enumerate(clients))
        )
        elapsed = time.monotonic() - begin
        await looking
    memory.append(resident(pid))
    return Found(list(sounds), answers, elapsed)


class AllClients:
    """A connection of its own for each key.

    Args:
        address: Of the service.
        keys: One for each client.
    """

    def __init__(self, address: str, keys: list[str]) -> None:
        self._clients = [
            httpx.AsyncClient(
                base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=600
            )
            for key in keys
        ]

    async def __aenter__(self) -> list[httpx.AsyncClient]:
        return self._clients

    async def __aexit__(self, *error: object) -> None:
        for client in self._clients:
            await client.aclose()


async def cancelled_after(address: str, key: str, args: argparse.Namespace) -> dict[str, Any]:
    """Cancel a long job while another waits; return the time until that one runs."""
    async with AllClients(address, [key]) as (client,):
        long = {"prompt": "tabla", "steps": args.most_steps}
        place = (await client.post("/v1/generate", json=long)).headers["location"]
        state: dict[str, Any] = {}
        while not state.get("step"):
            state = (await client.get(place)).json()
        first, begin = state["step"], time.monotonic()
        while state["step"] < first + 20:
            state = (await client.get(place)).json()
        step = (time.monotonic() - begin) / (state["step"] - first)
        body = {"prompt": "tabla", "steps": 1, "duration": 0.1}
        waiting = (await client.post("/v1/generate", json=body)).headers["location"]
        begin = time.monotonic()
        await client.delete(place)
        state = {"state": "waiting"}
        while state["state"] == "waiting":
            state = (await client.get(waiting)).json()
        return {"step_seconds": step, "place_free_after_seconds": time.monotonic() - begin}


def one_after_another(count: int, args: argparse.Namespace) -> tuple[float, float]:
    """Make as many sounds without the service; return sounds a second, and by CPU time."""
    torch.set_num_threads(args.threads)
    model = StableAudio.from_pretrained(args.model, device=args.device)
    options: dict[str, Any] = {"steps": args.steps, "duration": args.duration, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        begin = cpu = 0.0
        for seed in range(-1, count):
            if seed == 0:  # the first warms up
                begin, cpu = time.monotonic(), time.process_time()
            audio = model.generate(PROMPTS[seed % len(PROMPTS)], seed=max(0, seed), **options)
            audio.save(Path(folder) / "sound.wav")
        return count / (time.monotonic() - begin), count / (time.process_time() - cpu)


def family(pid: int) -> list[int]:
    """Return a process and all below it, on Linux."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    total = 0
    for one in family(pid):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) << 10
    return total


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the server and the clients, then the same without them."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        keys = [secrets.token_hex(16) for _ in range(args.clients)]
        lines = [f"client{number}:{key}" for number, key in enumerate(keys)]
        file = folder / "keys"
        file.write_text("\n".join(lines))
        file.chmod(0o600)
        command = (
            *(
                sys.executable,
                "-m",
                "stable_audio_open.cli.main",
                "serve",
                "--port",
                "0",
                "--no-page",
            ),
            *("--model", f"model={args.model}", "--device", args.device, "--auth", str(file)),
            *("--threads", str(args.threads), "--together", str(args.together)),
            *("--most-steps", str(args.most_steps), "--most-waiting", str(args.most_waiting)),
        )
        server = opened.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        )
        opened.callback(server.kill)
        assert server.stdout is not None
        address = server.stdout.readline().partition(": model on")[0]
        memory: list[int] = []
        cpu = cpu_seconds(server.pid)
        found = asyncio.run(all_clients(address, keys, args=args, memory=memory, pid=server.pid))
        cpu = cpu_seconds(server.pid) - cpu
        cancelling = asyncio.run(cancelled_after(address, keys[0], args))
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    count = sum(found.sounds)
    pace = count / found.elapsed
    alone, alone_by_cpu = one_after_another(max(1, min(count, args.alone)), args)
    return {
        "clients": args.clients,
        "together": args.together,
        "sounds": count,
        "fewest_sounds_of_a_client": min(found.sounds),
        "answers": dict(found.answers),
        "seconds": round(found.elapsed, 1),
        "sounds_a_second": round(pace, 3),
        "sounds_a_second_without": round(alone, 3),
        "ratio": round(pace / alone, 3),
        "ratio_by_cpu_time": round(count / cpu / alone_by_cpu, 3),
        "megabytes": [round(one / 1e6) for one in memory],
        **{name: round(value, 4) for name, value in cancelling.items()},
    }


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--duration", type=float, default=1.0)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--most-steps", type=int, default=2000)
    parser.add_argument("--most-waiting", type=int, default=100)
    parser.add_argument("--alone", type=int, default=100, help="sounds without the service")
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print, and write if wanted."""
    args = parsed()
    text = json.dumps(measure(args), indent=2)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
