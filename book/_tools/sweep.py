"""Run chapters with other seeds: no claim may fail, and the table shows how much of its allowance each one uses.

    python book/_tools/sweep.py [--chapter SLUG] SEED...

Outputs are not compared (nbval-lax). Every check appends a line of JSON to the file that COURSE_MARGINS names.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolbox import chapters_named, one_thread

AT_ONCE = 2
LAX = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", "-q", "-p", "no:cacheprovider"]


def run(path: Path, seed: int, margins: Path) -> bool:
    """Run one chapter with one seed; says so, and shows what failed."""
    environment = one_thread() | {"COURSE_SEED": str(seed), "COURSE_MARGINS": str(margins)}
    command = [sys.executable, "-m", "pytest", *LAX, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(f"{path.stem}, seed {seed}: {'passed' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def table(slug: str, margins: dict[int, Path]) -> str:
    """A chapter's claims, each with the largest share of its allowance that a seed used, and its value per seed."""
    rows = defaultdict(dict)  # (number, kind, what) -> seed -> the tightest of the checks
    for seed, file in margins.items():
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            row = json.loads(line)
            of_seed = rows[row["number"], row["kind"], row["what"]]
            if seed not in of_seed or row["used"] > of_seed[seed]["used"]:
                of_seed[seed] = row
    lines = [f"\n{slug}: worst share of the allowance, then the value of each seed"]
    for (number, kind, what), of_seed in sorted(rows.items()):
        used = max(0.0, *(row["used"] for row in of_seed.values()))  # a bound with room to spare counts below 0
        values = "  ".join(f"{seed}: {row['value']:.3g}" for seed, row in sorted(of_seed.items()))
        lines.append(f"  ({number}) {kind:<11} {used:6.1%}  {values}  {what}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run chapters with other seeds and show the margins of their claims.")
    parser.add_argument("--chapter", help="only the chapter with this slug")
    parser.add_argument("seeds", nargs="+", type=int, metavar="SEED")
    arguments = parser.parse_args()
    paths = chapters_named(arguments.chapter)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [(path, seed, Path(folder, f"{path.stem}-{seed}")) for path in paths for seed in arguments.seeds]
        passed = list(pool.map(lambda job: run(*job), jobs))
        for path in paths:
            print(table(path.stem, {seed: file for p, seed, file in jobs if p == path}))
    failed = [f"{path.stem} with seed {seed}" for (path, seed, _), good in zip(jobs, passed, strict=True) if not good]
    print("\n" + (f"Failed: {', '.join(failed)}." if failed else f"All {len(jobs)} runs passed."))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
