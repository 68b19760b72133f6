#!/usr/bin/env python3
"""Ours against PyTorch on this machine: same weights, same inputs, same threads, in turn.

    cargo build --release --workspace && python3 harness/engine/benches/vs_torch/run.py

Makes a virtual environment (`--venv`, default target/vs_torch/venv) from requirements.txt, or uses `--python`. For each
workload three long-lived processes are fed in turn, the order reversed each round: PyTorch eager, PyTorch's best set-up
(see torch_side.py; `--no-best` leaves it out) and our program's own code (harness/train/examples/vs_torch.rs). Checks that
outputs or losses agree, then prints medians of the per-round ratios (above 1: ours is faster) and their range, for wall
and for processor seconds, and the peak resident memory. Needs only Python's standard library. Exit code 1 when numbers
disagree.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]

# name: (kind, batch, runs per round)
WORKLOADS = {
    "infer-b1": ("infer", 1, 10),
    "infer-b8": ("infer", 8, 2),
    "infer-b32": ("infer", 32, 1),
    "tune-b8": ("tune", 8, 1),
    "frozen-b8": ("frozen", 8, 2),
    "adapter-b8": ("adapter", 8, 2),  # ours against ours: a step of FS-Adapter against the forward pass alone
    "mae-b16": ("mae", 16, 1),
    "3c-b16": ("3c", 16, 1),
}
DEFAULT = ["infer-b1", "infer-b8", "infer-b32", "tune-b8", "adapter-b8", "mae-b16", "3c-b16"]
FIRST = 2  # untimed runs whose numbers are compared
# relative to the largest number; training compares the losses of the first steps
TOLERANCE = {"infer": 2e-5, "tune": 2e-3, "frozen": 1e-4, "mae": 1e-3, "3c": 1e-3}


class Contestant:
    """A process that runs the workload when told how often."""

    def __init__(self, label, command, environment, log):
        self.label = label
        self.process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        )
        self.rounds = []
        if self.line() != "ready":
            raise SystemExit(f"{label}: did not start, see {log.name}")

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.label}: ended early with status {self.process.wait()}")
        return line.strip()

    def ask(self, repeats):
        self.process.stdin.write(f"{repeats}\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def finish(self):
        end = self.ask(0)
        self.process.wait()
        return end


def python(args):
    """The interpreter of the PyTorch side, set up on the first use."""
    if args.python:
        return Path(args.python)
    venv = Path(args.venv)
    exe = venv / "bin" / "python"
    wanted = (HERE / "requirements.txt").read_text()
    stamp = venv / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {venv} (a large download)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([exe, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return exe


def contestants(args, interpreter, kind, folder, log):
    threads = {"OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
    side = [HERE / "torch_side.py", "serve", kind, "--size", args.size, "--folder", folder]
    side += ["--threads", args.threads]
    torch = [interpreter, *side]
    # what `tune_malloc` does in our program: keep freed memory instead of faulting it in again
    malloc = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    out = [Contestant("eager", torch, threads, log)]
    if not args.no_best:
        out.append(Contestant("best", [*torch, "--best"], {**threads, **malloc}, log))
    ours = [args.ours, kind, args.size, folder, args.threads]
    return [*out, Contestant("ours", ours, {}, log)]


def deviation(a, b):
    scale = max(abs(x) for x in a)
    return max(abs(x - y) for x, y in zip(a, b)) / scale if len(a) == len(b) and scale > 0 else float("inf")


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def adapter(args, interpreter, name):
    """What a step with a frozen backbone costs beyond the forward pass it cannot do without."""
    _, batch, repeats = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        command = [interpreter, HERE / "torch_side.py", "export", "infer", "--size", args.size]
        subprocess.run([*command, "--batch", str(batch), "--folder", folder], check=True)
        both = [Contestant(kind, [args.ours, kind, args.size, folder, args.threads], {}, log) for kind in ("infer", "adapter")]
        for c in both * 2:
            c.ask(1)
        for number in range(args.rounds):
            for c in both if number % 2 == 0 else both[::-1]:
                answer = c.ask(repeats)
                c.rounds.append((answer["wall"] / repeats, answer["cpu"] / repeats))
        for c in both:
            c.finish()
    pairs = list(zip(both[0].rounds, both[1].rounds))
    ratios = {key: [step[i] / forward[i] for forward, step in pairs] for i, key in enumerate(("wall", "cpu"))}
    print(f"\n### {name} ({args.size}): a step of FS-Adapter over the forward pass alone, both ours; below 1.15 is wanted")
    print(f"\nwall {spread(ratios['wall'])}, processor time {spread(ratios['cpu'])}")
    sys.stdout.flush()
    return {"workload": name, "size": args.size, "batch": batch, **ratios, "agree": True}


def measure(args, interpreter, name):
    kind, batch, repeats = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        command = [interpreter, HERE / "torch_side.py", "export", kind, "--size", args.size]
        subprocess.run([*command, "--batch", str(batch), "--folder", folder], check=True)
        try:
            all_ = contestants(args, interpreter, kind, folder, log)
            firsts = {c.label: [] for c in all_}
            for c in all_:
                for _ in range(FIRST if kind != "infer" else 1):
                    firsts[c.label] += c.ask(1)["values"]
                if kind == "infer":
                    c.ask(1)
        except SystemExit as error:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:])
            raise error
        off = {c.label: deviation(firsts["eager"], firsts[c.label]) for c in all_ if c.label != "eager"}
        for number in range(args.rounds):
            for c in all_ if number % 2 == 0 else all_[::-1]:
                time.sleep(0.2)  # lets spinning threads of the one before go to sleep
                answer = c.ask(repeats)
                c.rounds.append((answer["wall"] / repeats, answer["cpu"] / repeats))
        ends = {c.label: c.finish() for c in all_}
    by = {c.label: c for c in all_}
    result = {"workload": name, "size": args.size, "batch": batch, "off": off, "ends": ends}
    result["seconds"] = {c.label: statistics.median(w for w, _ in c.rounds) for c in all_}
    for base in [c.label for c in all_ if c.label != "ours"]:
        pairs = list(zip(by[base].rounds, by["ours"].rounds))
        result[base] = {
            "wall": [t[0] / o[0] for t, o in pairs],
            "cpu": [t[1] / o[1] for t, o in pairs],
            "rss": ends["ours"]["peak_mb"] / ends[base]["peak_mb"],
        }
    result["agree"] = off["ours"] <= TOLERANCE[kind]
    return result


def show(result):
    label = f"{result['workload']} ({result['size']})"
    print(f"\n### {label}: {result['batch'] / result['seconds']['ours']:.2f} images/s ours")
    print("\n| against | wall | processor time | peak memory | PyTorch s | ours s |")
    print("|---|---|---|--:|--:|--:|")
    for base in ("eager", "best"):
        if base in result:
            r, seconds, ends = result[base], result["seconds"], result["ends"]
            memory = f"{r['rss']:.2f} ({ends['ours']['peak_mb']:.0f} / {ends[base]['peak_mb']:.0f} MB)"
            times = f"{seconds[base]:.3f} | {seconds['ours']:.3f}"
            print(f"| {base} | {spread(r['wall'])} | {spread(r['cpu'])} | {memory} | {times} |")
    print(f"\nlargest relative deviation from eager: {', '.join(f'{k} {v:.1e}' for k, v in result['off'].items())}")
    if not result["agree"]:
        print("**numbers disagree**")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"any of {', '.join(WORKLOADS)}; default {' '.join(DEFAULT)}")
    parser.add_argument("--size", choices=["small", "base", "large"], default="base")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-best", action="store_true", help="only PyTorch eager")
    parser.add_argument("--python", help="an interpreter that has PyTorch already")
    parser.add_argument("--venv", default=str(ROOT / "target" / "vs_torch" / "venv"))
    parser.add_argument("--ours", default=str(ROOT / "target" / "release" / "examples" / "vs_torch"))
    parser.add_argument("--json", help="also write everything measured to this file")
    args = parser.parse_args()
    unknown = [w for w in args.workloads if w not in WORKLOADS]
    if unknown or args.rounds < 1:
        parser.error(f"unknown workload {', '.join(unknown)}" if unknown else "--rounds must be at least 1")
    interpreter = python(args)
    if args.ours == parser.get_default("ours"):
        build = ["cargo", "build", "--release", "-q", "-p", "facebench-train", "--example", "vs_torch"]
        subprocess.run(build, check=True, cwd=ROOT)
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    print(f"{platform.machine()}, {model}, {os.cpu_count()} cores, {args.threads} threads, {args.rounds} rounds,", end=" ")
    print(f"load at the start {os.getloadavg()[0]:.1f}; above 1: ours is faster; median [smallest, largest]")
    results = []
    for name in args.workloads or DEFAULT:
        if WORKLOADS[name][0] == "adapter":
            results.append(adapter(args, interpreter, name))
        else:
            results.append(measure(args, interpreter, name))
            show(results[-1])
        if args.json:
            Path(args.json).write_text(json.dumps(results, indent=1))
    return 0 if all(r["agree"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
