"""What a reader of the built site waits for, loads and holds, page by page.

    python benchmarks/site.py [PATH of another built site] [--rounds 3]

Every visit is a first one, with an empty cache, at 10 Mbit/s and 40 ms, the sites in turn. Files are sent compressed, and
KB are those of what was sent, without pictures; *next* are those that a visitor of another chapter still needs. The time
is until the last formula in view is drawn, the median of the rounds. Nodes are the elements of the page at rest. The shift
is the layout's as browsers count it: on a desktop, on a phone, and on a phone that arrives at the last numbered equation.
"""

import argparse
import functools
import gzip
import http.server
import statistics
import threading
from pathlib import Path

from bench import record
from playwright.sync_api import Browser, Page, sync_playwright
from toolbox import ROOT

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
COMPRESSED, PICTURES = ("woff", "woff2"), ("png", "jpg", "svg", "ico")
LINE = {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8}
WATCH = """window.shift = 0;
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});
const look = () => {
    const drawn = document.querySelector(".bd-article :is(mjx-container, svg.formula)");
    const waiting = [...document.querySelectorAll(".bd-article .math")].some(math =>
        !math.querySelector("mjx-container, svg") && math.getBoundingClientRect().top < innerHeight);
    if (drawn && !waiting) requestAnimationFrame(() => (window.visible = performance.now()));
    else requestAnimationFrame(look);
};
requestAnimationFrame(look);"""


@functools.cache
def compressed(path: Path) -> bytes:
    """A file as a server sends it."""
    content = path.read_bytes()
    return content if path.suffix[1:] in COMPRESSED + PICTURES else gzip.compress(content)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends files compressed, as the servers of such pages do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(content)))
        if path.suffix[1:] not in COMPRESSED + PICTURES:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Say nothing of each request."""


def serve(site: Path) -> str:
    """Serve a site until this process ends; returns its origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def visit(browser: Browser, url: str, viewport: dict) -> tuple[Page, set[str]]:
    """A page at rest, opened with an empty cache, and the addresses that it asked for."""
    page = browser.new_context(viewport=viewport).new_page()
    page.add_init_script(WATCH)
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", LINE)
    asked = set()
    page.on("request", lambda request: asked.add(request.url.split("?")[0].split("#")[0]))
    page.goto(url, wait_until="load")
    page.wait_for_timeout(1500)
    return page, asked


def weight(site: Path, origin: str, asked: set[str]) -> int:
    """KB of files of the site, without pictures."""
    files = [site / url.removeprefix(origin) for url in asked if url.startswith(origin)]
    return round(sum(len(compressed(file)) for file in files if file.suffix[1:] not in PICTURES) / 1000)


def measure(browser: Browser, site: Path, origin: str, address: str, seen: set[str]) -> list:
    """KB, KB after the files `seen` elsewhere, ms, elements, and the shifts."""
    page, asked = visit(browser, origin + address, DESKTOP)
    nodes, shift, visible = page.evaluate("[document.querySelectorAll('*').length, window.shift, window.visible ?? 0]")
    equations = page.locator(".equation[id]").evaluate_all("all => all.map(row => row.id)")
    page.context.close()
    shifts = [shift]
    for fragment in ["", f"#{equations[-1]}"] if equations else [""]:
        page, _ = visit(browser, origin + address + fragment, PHONE)
        shifts.append(page.evaluate("window.shift"))
        page.context.close()
    shifts = [round(value, 3) for value in (*shifts, 0)[:3]]
    return [weight(site, origin, asked), weight(site, origin, asked - seen), round(visible), nodes, *shifts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("against", nargs="?", type=Path, help="the folder of another built site")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    here = ROOT / "_build" / "html"
    addresses = sorted(page.relative_to(here).as_posix() for page in here.glob("book/**/*.html"))
    chapters = [address for address in addresses if (ROOT / address).with_suffix(".ipynb").exists()]
    origins = {site: serve(site) for site in (here, options.against) if site}
    head = ["KB", "next", "ms", "nodes", "shift", "phone", "deep link"]
    head = ["page", *head, *(f"{name}, other" for name in head if options.against)]
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        seen = {}
        for site, origin in origins.items():
            page, seen[site] = visit(browser, origin + chapters[0], DESKTOP)
            page.context.close()
        for address in addresses:
            sites = [site for site in origins if (site / address).exists()]
            results = {site: [] for site in sites}
            for _ in range(options.rounds):
                for site in sites:
                    results[site].append(measure(browser, site, origins[site], address, seen[site]))
            row = [address.removesuffix(".html")]
            for site in sites:
                row += [statistics.median(values) for values in zip(*results[site], strict=True)]
            rows.append(row + [""] * (len(head) - len(row)))  # a page that the other site has not
            print(*row, flush=True)
    record("site", head, rows, what="first visits at 10 Mbit/s and 40 ms, 1280 and 390 px wide")


if __name__ == "__main__":
    main()
