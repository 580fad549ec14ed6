"""Serve the built site on this computer, on port 8000 or on any free port if that is taken."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from toolbox import ROOT

SITE = ROOT / "_build" / "html"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        """Say nothing of each request."""


def main() -> None:
    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: build it with make site.")
    handler = partial(Quiet, directory=SITE)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", 8000), handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"Read the book at http://localhost:{server.server_port}/ and stop with Ctrl-C.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
