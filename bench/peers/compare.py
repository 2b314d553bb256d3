#!/usr/bin/env python3
"""Danlu beside PyTorch: interleaved rounds, medians, one Markdown table, and the bars.

    python3 bench/peers/compare.py --python bench/peers/.venv/bin/python --realtime

In a round every engine runs once, one after the other (A B C A B C ...), so that a machine whose
speed drifts slows them alike. A ratio is taken within a round; the table shows its median and range
over the rounds. Memory is what the kernel reports of each process when it ends (largest resident
size), taken the same way for every engine; PyTorch's includes its library, ours our binary.

`tuned` is PyTorch with the allocator told to keep freed memory and to ask for huge pages, which is
worth up to 20 % to it; the bars are held against PyTorch's fastest row, whichever that is.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
)
# name, arguments of train.py, GLIBC_TUNABLES
PEERS = [
    ("PyTorch eager", [], ""),
    ("PyTorch eager, tuned", [], TUNABLES),
    ("PyTorch compiled", ["--compile"], ""),
    ("PyTorch compiled, tuned", ["--compile"], TUNABLES),
]
# shape and precision -> least speed ratio to PyTorch's fastest row of that precision
SPEED_BARS = {
    ("w1", "bf16"): 1.6,
    ("w2", "bf16"): 1.5,
    ("w3", "bf16"): 1.6,
    ("w1", "f32"): 1.4,
    ("w2", "f32"): 1.4,
    ("w3", "f32"): 1.4,
}
PEAK_SHARE_BAR = 0.70  # of the measured bf16 peak, in bf16
MEMORY_BAR = 0.5  # of the memory of PyTorch's fastest row
RESULT_FIELDS = ("tokens_per_s", "gflops", "loss_first", "loss_last", "threads")


def run_measured(command, extra_environment):
    """Runs a command; its last line as JSON with `resident_bytes` added. Raises with its output."""
    environment = {**os.environ, **extra_environment}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors, env=environment, cwd=ROOT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        lines = output.read().decode().strip().splitlines()
        if child.returncode != 0 or not lines:
            message = errors.read().decode()[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit {child.returncode}\n{message}")
    # `danlu` may print its object over many lines, train.py prints one after any warnings.
    text = "\n".join(lines)
    try:
        result = json.loads(text)
    except json.JSONDecodeError:
        result = json.loads(lines[-1])
    missing = [field for field in RESULT_FIELDS if field not in result]
    if missing:
        raise RuntimeError(f"{' '.join(command)}: the result has no {', '.join(missing)}")
    result["resident_bytes"] = usage.ru_maxrss * 1024
    return result


def engines(options, shape, precision):
    """(name, command, environment) of every engine, ours first."""
    threads = str(options.threads)
    ours = [options.danlu, "bench", "train", "--shape", shape, "--precision", precision,
            "--threads", threads, "--json"]
    if options.realtime:
        ours = ["chrt", "-r", "1", *ours]
    yield "Danlu", ours, {}
    train = str(ROOT / "bench/peers/train.py")
    for name, arguments, tunables in PEERS:
        if options.peers and not any(wanted == name for wanted in options.peers):
            continue
        command = [options.python, train, "--shape", shape, "--precision", precision,
                   "--threads", threads, "--seconds", str(options.seconds), *arguments]
        if options.realtime:
            command.append("--realtime")
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if tunables:
            environment["GLIBC_TUNABLES"] = tunables
        yield name, command, environment


def measure(options, shape, precision):
    """{engine: [result of each round]}, rounds interleaved."""
    rounds = {}
    for number in range(options.rounds):
        for name, command, environment in engines(options, shape, precision):
            result = run_measured(command, environment)
            rounds.setdefault(name, []).append(result)
            print(f"{shape} {precision} round {number + 1}: {name} "
                  f"{result['tokens_per_s']:.0f} tokens/s", file=sys.stderr, flush=True)
            if options.raw:
                record = {"shape": shape, "precision": precision, "round": number, "name": name}
                with open(options.raw, "a", encoding="utf-8") as file:
                    file.write(json.dumps(record | {"result": result}) + "\n")
    return rounds


def median_of(results, field):
    return statistics.median(result[field] for result in results)


def ratios(ours, theirs, field):
    """Ours over theirs, within each round."""
    return [a[field] / b[field] for a, b in zip(ours, theirs)]


def span(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def table_rows(shape, precision, rounds):
    ours = rounds["Danlu"]
    for name, results in rounds.items():
        speed = memory = "1"
        if name != "Danlu":
            speed = span(ratios(ours, results, "tokens_per_s"))
            memory = span(ratios(ours, results, "resident_bytes"))
        losses = f"{results[0]['loss_first']:.3f} -> {results[0]['loss_last']:.3f}"
        yield (f"| {shape} | {precision} | {name} | {median_of(results, 'tokens_per_s'):.0f} "
               f"| {median_of(results, 'gflops'):.0f} "
               f"| {median_of(results, 'resident_bytes') / 2**20:.0f} "
               f"| {speed} | {memory} | {losses} |")


def verdict(holds):
    return "holds" if holds else "MISSED"


def bar_rows(shape, precision, rounds):
    ours = rounds["Danlu"]
    peers = {name: results for name, results in rounds.items() if name != "Danlu"}
    best = max(peers, key=lambda name: median_of(peers[name], "tokens_per_s"))
    speeds = ratios(ours, peers[best], "tokens_per_s")
    bar = SPEED_BARS[shape, precision]
    yield (f"| {shape} {precision}: tokens/s, ratio to {best} | >= {bar} | {span(speeds)} "
           f"| {verdict(statistics.median(speeds) >= bar)} |")
    memory = ratios(ours, peers[best], "resident_bytes")
    yield (f"| {shape} {precision}: peak memory, ratio to {best} | <= {MEMORY_BAR} "
           f"| {span(memory)} | {verdict(statistics.median(memory) <= MEMORY_BAR)} |")
    if precision == "bf16":
        shares = [result["peak_share"] for result in ours]
        yield (f"| {shape} bf16: share of the measured bf16 peak | >= {PEAK_SHARE_BAR} "
               f"| {span(shares)} | {verdict(statistics.median(shares) >= PEAK_SHARE_BAR)} |")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def report(options, measured):
    lines = [
        f"Machine: {machine()}. {options.threads} threads, {options.rounds} interleaved rounds, "
        f"medians [range]; ratios are Danlu / PyTorch.",
        "",
        "| shape | precision | engine | tokens/s | GFLOP/s | peak MiB | speed ratio "
        "| memory ratio | loss first -> last |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (shape, precision), rounds in measured.items():
        lines += table_rows(shape, precision, rounds)
    lines += ["", "| bar | wanted | measured | |", "|---|---|---|---|"]
    for (shape, precision), rounds in measured.items():
        lines += bar_rows(shape, precision, rounds)
    lines += ["", "Losses are each engine's own random start; they show that it learns."]
    versions = {
        f"PyTorch {result['torch']}"
        for rounds in measured.values()
        for results in rounds.values()
        for result in results
        if "torch" in result
    }
    lines.append(f"Versions: {', '.join(sorted(versions))}; Python {platform.python_version()}.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--danlu", default=str(ROOT / "target/release/danlu"))
    parser.add_argument("--python", default=str(ROOT / "bench/peers/.venv/bin/python"),
                        help="a Python that has the packages of requirements.txt")
    parser.add_argument("--shapes", default="w1,w2,w3")
    parser.add_argument("--precisions", default="bf16,f32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="timed part of a PyTorch run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", action="append", choices=[name for name, _, _ in PEERS],
                        help="only this peer (repeat for more)")
    parser.add_argument("--realtime", action="store_true",
                        help="real-time priority for the timed parts (needs the right to set it)")
    parser.add_argument("--raw", help="append every result to this file, one JSON line each")
    options = parser.parse_args()
    measured = {
        (shape, precision): measure(options, shape, precision)
        for shape in options.shapes.split(",")
        for precision in options.precisions.split(",")
    }
    print(report(options, measured))


if __name__ == "__main__":
    main()
