"""A real browser that opens a page and says what it saw."""

import json
import re
import shutil
import subprocess
from html import unescape

BINARY = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), ""
)
FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-extensions", "enable-logging=stderr", "v=0", "virtual-time-budget=3000",
        "dump-dom",
    )
]  # fmt: skip
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND"  # the browser's own calls go nowhere as well
PROBE = """<script>addEventListener("load", () => {
  const style = getComputedStyle(document.body);
  const box = element => element && element.getBoundingClientRect().toJSON();
  const corner = image => {
    const canvas = new OffscreenCanvas(4, 4).getContext("2d");
    canvas.filter = getComputedStyle(image).filter;
    canvas.drawImage(image, 0, 0, 4, 4, 0, 0, 4, 4);
    return [...canvas.getImageData(1, 1, 1, 1).data].slice(0, 3);
  };
  const leastText = image => {  // in pixels: matplotlib scales its letters from a hundredth
    const svg = image.src.startsWith("data:image/svg") ? atob(image.src.split(",")[1]) : "";
    const sizes = [...svg.matchAll(/scale\\(0\\.(\\d+) -/g)].map(match => 100 * ("0." + match[1]));
    return Math.min(...sizes) * (4 / 3) * image.width / image.naturalWidth;
  };
  const all = selector => [...document.querySelectorAll(selector)];
  const observations = {
    pictures: [...document.images].map(image => image.naturalWidth ? {natural: image.naturalWidth,
      corner: corner(image), text: leastText(image)} : {natural: 0}),
    asked: performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:")),
    ink: style.color, paper: style.backgroundColor, height: innerHeight,
    overflow: document.documentElement.scrollWidth - innerWidth,
    headline: box(document.querySelector(".headline")),
    figure: box(document.querySelector("figure")),
    numbers: all("body > .claim .number p:nth-child(2)").map(box),
    folds: all("details").map(fold => fold.lastElementChild.checkVisibility()),
    after_headings: [...new Set(all("h1, h2, h3, h4").map(h => getComputedStyle(h).breakAfter))],
  };
  parent.postMessage(JSON.stringify(observations), "*");
})</script>"""
HOST = """<body style="margin: 0">
<iframe src="probed.html" style="border: 0; width: {}px; height: {}px"></iframe>
<script>addEventListener("message", event => {{
  const element = document.createElement("pre");
  element.id = "probe";
  element.textContent = event.data;
  document.body.append(element);
}})</script></body>"""
"""A window is never as narrow as a phone, but a frame in it can be."""


def look(page, folder, is_dark=False, screen=(1280, 800)):
    """Open a page on a screen; return the console's lines and what a probe in it found."""
    policy = "script-src 'unsafe-inline'; default-src"
    text = page.replace("default-src", policy, 1).replace("</body>", f"{PROBE}</body>")
    (folder / "probed.html").write_text(text, encoding="utf-8")
    host_path = folder / "host.html"
    host_path.write_text(HOST.format(*screen), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    window = f"--window-size={max(screen[0], 600)},{screen[1]}"
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", NOWHERE, scheme, window,
             host_path.as_uri()]  # fmt: skip
    process = subprocess.run(
        [BINARY, *flags], capture_output=True, text=True, timeout=120, check=True
    )
    console = [line for line in process.stderr.splitlines() if "CONSOLE" in line]
    (observations,) = re.findall(r'<pre id="probe">(.*?)</pre>', process.stdout)
    return console, json.loads(unescape(observations))


def visit(url, folder, picture, height=1000, seconds=20):
    """Open a page of a server of this machine, once its scripts have run for so many seconds.

    Seconds are the page's own: they pass as fast as the machine is. Writes a picture of it.

    Returns:
        The words that it then shows.
    """
    nowhere_else = f"{NOWHERE} , EXCLUDE 127.0.0.1"
    other_flags = [flag for flag in FLAGS if "budget" not in flag]
    flags = [
        *other_flags,
        "--hide-scrollbars",
        f"--virtual-time-budget={1000 * seconds}",
        nowhere_else,
    ]
    flags += [f"--user-data-dir={folder / 'profile'}", f"--window-size=1750,{height}"]
    process = subprocess.run(
        [BINARY, *flags, f"--screenshot={picture}", url],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", "", process.stdout)))
