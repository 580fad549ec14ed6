"""Make the virtual environment `.venv` if it is missing, and install what pip's arguments name into it.

    python3 book/_tools/set_up.py -r requirements.txt

Any Python can read this file, so that an old one gets a sentence and not a traceback.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")


def make_environment():
    if sys.version_info < OLDEST:
        sys.exit(
            "The book needs Python %d.%d or newer, and %s is %s. Install one and name it: make PYTHON=python3.12"
            % (OLDEST + (sys.executable, sys.version.split()[0]))
        )
    print("Making .venv with Python %s" % sys.version.split()[0], flush=True)
    if subprocess.call([sys.executable, "-m", "venv", VENV]):
        sys.exit(
            "Python could not make .venv; its message is above. On Debian and Ubuntu install python3-venv. If the disk is "
            "full, free some room. Then give the same command again."
        )


def install(arguments):
    """Run pip, showing what it fetches and not what is there already."""
    print("pip install %s (the first time takes minutes)" % " ".join(arguments), flush=True)
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"] + arguments
    pip = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, universal_newlines=True)
    for line in pip.stdout:
        if line.startswith(("Collecting", "  Downloading", "Installing", "Successfully")):
            print(line, end="", flush=True)
    if pip.wait():
        sys.exit(
            "pip could not install %s; its message is above. If it did not reach its index, check the network; if the "
            "disk is full, free some room. Then give the same command again: what was fetched is kept." % arguments[-1]
        )


def is_whole():
    """Whether .venv has a Python with pip: what was stopped while it was made may have the one without the other."""
    return os.path.exists(PYTHON) and subprocess.call([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0


if __name__ == "__main__":
    if not os.access(ROOT, os.W_OK):
        sys.exit("%s cannot be written: give yourself the right to, or work in a copy that you own." % ROOT)
    if not is_whole():
        make_environment()
    install(sys.argv[1:])
