"""What a reader of the built site loads and what the browser has to hold, page by page.

    python benchmarks/site_weight.py [PATH of another built site]

Bytes are those of a first visit, compressed as a server would (what is compressed already counts as it is), without
pictures. Nodes are the elements of the page when it is at rest; the shift is the layout's, as browsers count it.
"""

import argparse
import functools
import gzip
import http.server
import threading
from pathlib import Path

from bench import record
from playwright.sync_api import Page, sync_playwright
from toolbox import ROOT

WATCH = """window.shift = 0;
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});"""
COMPRESSED, PICTURES = ("woff", "woff2"), ("png", "jpg", "svg", "ico")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing of each request."""


def serve(site: Path) -> str:
    """Serve a site until this process ends; returns its origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def measure(page: Page, site: Path, origin: str, address: str) -> list:
    """The address, KB of the first visit, elements and layout shift."""
    asked = set()
    page.on("request", lambda request: asked.add(request.url.split("?")[0].split("#")[0]))
    page.goto(origin + address, wait_until="networkidle")
    page.wait_for_timeout(1500)
    sizes = 0
    for url in asked:
        ending, content = url.rpartition(".")[2], (site / url.removeprefix(origin)).read_bytes()
        if ending not in PICTURES:
            sizes += len(content if ending in COMPRESSED else gzip.compress(content))
    nodes, shift = page.evaluate("[document.querySelectorAll('*').length, window.shift]")
    return [address.removesuffix(".html"), round(sizes / 1000), nodes, round(shift, 3)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("against", nargs="?", type=Path, help="the folder of another built site")
    other = parser.parse_args().against
    here = ROOT / "_build" / "html"
    addresses = sorted(page.relative_to(here).as_posix() for page in here.glob("book/**/*.html"))
    origins = {site: serve(site) for site in (here, other) if site}
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for address in addresses:
            row = []
            for site, origin in origins.items():
                if not (site / address).exists():
                    continue
                page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                page.add_init_script(WATCH)
                row += measure(page, site, origin, address)[bool(row) :]
                page.context.close()
            rows.append(row)
            print(*row, flush=True)
    head = ["page", "KB", "nodes", "shift"] + ["KB, other", "nodes, other", "shift, other"] * bool(other)
    record("site_weight", head, rows, what="first visits, cold cache, 1280 px wide")


if __name__ == "__main__":
    main()
