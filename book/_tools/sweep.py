"""Run chapters with many seeds: no claim may fail, and a measured one holds with three standard deviations to spare.

    python book/_tools/sweep.py [--report] [--chapter "SLUG SLUG"] [SEED...]

Outputs are not compared. Results are kept in _build/sweep/: what has not changed is not run again, and an interrupted
sweep goes on where it stopped.
"""

import argparse
import math
import statistics
import sys
from collections import defaultdict

from runs import Run, describe, read, results, table
from toolbox import ROOT, chapters_named, in_plain_words, require_kernel

FOLDER = ROOT / "_build" / "sweep"
SEEDS = range(1, 31)
LEAST_MARGIN = 3  # standard deviations over seeds between a measured claim's mean and its threshold


def tightest(found: dict[int, dict]) -> dict[tuple, dict[int, dict]]:
    """Of each check, (number, kind, what), and each seed the line with the least room, when it ran more than once."""
    claims = defaultdict(dict)
    for seed, result in sorted(found.items()):
        for line in result["checks"]:
            of_seed = claims[line["number"], line["kind"], line["what"]]
            if seed not in of_seed or line["used"] > of_seed[seed]["used"]:
                of_seed[seed] = line
    return dict(sorted(claims.items()))


def measured(of_seed: dict[int, dict]) -> tuple[list[str], bool]:
    """A measured claim's mean, deviation, worst, threshold and margin as text, and whether the margin is too small."""
    values = [line["value"] for line in of_seed.values()]
    room = {seed: line["value"] - line["threshold"] for seed, line in of_seed.items()}
    worst = min(room, key=room.get)
    mean_room, deviation = statistics.mean(room.values()), statistics.stdev(room.values()) if len(room) > 1 else math.nan
    small = mean_room < LEAST_MARGIN * deviation
    margin = mean_room / deviation if deviation else math.inf
    row = [
        f"{statistics.mean(values):.4g}",
        f"{deviation:.2g}",
        f"{of_seed[worst]['value']:.4g} (seed {worst})",
        f"{of_seed[worst]['threshold']:.4g}",
        f"{margin:.1f}{' TOO SMALL' if small else ''}",
    ]
    return row, small


def report(slug: str, found: dict[int, dict], seeds: list[int]) -> tuple[str, bool]:
    """What the results by seed say of one chapter, and whether all is well."""
    lines, good, effects, others = [f"\n## {slug}"], True, [], []
    if len(found) < len(seeds):
        good = False
        lines.append(f"\n{len(found)} of {len(seeds)} seeds have run since the code last changed.")
    for seed, result in sorted(found.items()):
        if result["error"]:
            good = False
            lines.append(f"\nFAILED with seed {seed}: {describe(result['error'])}")
    for (number, kind, what), of_seed in tightest(found).items():
        if kind == "measured":
            row, small = measured(of_seed)
            good &= not small
            effects.append([f"({number})", what, str(len(of_seed)), *row])
        else:
            worst = max(of_seed, key=lambda seed: of_seed[seed]["used"])
            used = max(0.0, of_seed[worst]["used"])  # a bound with room to spare counts below 0
            others.append([f"({number})", kind, what, str(len(of_seed)), f"{used:.1%} (seed {worst})" if used else "0%"])
    if effects:
        head = ["claim", "measured effect", "seeds", "mean", "deviation", "worst", "threshold", "margin"]
        lines.append("\n" + table(head, effects))
    if others:
        lines.append("\n" + table(["claim", "kind", "what", "seeds", "worst share of the allowance"], others))
    return "\n".join(lines), good


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Run chapters with many seeds and show the margins of their claims.")
    parser.add_argument("--chapter", default="", help="only the chapters with these slugs")
    parser.add_argument("--report", action="store_true", help="show what is stored, run nothing")
    parser.add_argument("seeds", nargs="*", type=int, default=list(SEEDS), metavar="SEED", help="1 to 30 by default")
    arguments = parser.parse_args()
    seeds, runs = sorted(set(arguments.seeds)), {}
    for path in chapters_named(arguments.chapter):
        notebook = read(path)
        for seed in seeds:
            runs[Run(FOLDER / f"{path.stem}-{seed}.json", notebook, path.parent, seed)] = path.stem
    if not arguments.report:
        require_kernel()
        for done, (run, result) in enumerate(results(runs), 1):
            verdict = "FAILED" if result["error"] else "passed"
            print(f"{done} of {len(runs)}: {runs[run]}, seed {run.seed}: {verdict}, {result['seconds']} CPU s", flush=True)
    found = {slug: {} for slug in runs.values()}
    for run, slug in runs.items():
        result = run.stored()
        if result:
            found[slug][run.seed] = result
    reports = [report(slug, of_chapter, seeds) for slug, of_chapter in found.items()]
    print("\n".join(text for text, _ in reports))
    bad = [slug for slug, (_, good) in zip(found, reports, strict=True) if not good]
    print(f"\nNot every claim holds with room to spare: {', '.join(bad)}." if bad else "\nAll claims hold with room to spare.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
