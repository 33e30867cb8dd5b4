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
  const observations = {
    pictures: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
    asked: performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:")),
    ink: style.color, paper: style.backgroundColor,
    overflow: document.documentElement.scrollWidth - innerWidth,
  };
  const element = document.createElement("pre");
  element.id = "probe";
  element.textContent = JSON.stringify(observations);
  document.body.append(element);
})</script>"""


def look(page, folder, is_dark=False):
    """Open a page; return the console's lines and what a probe in it found."""
    policy = "script-src 'unsafe-inline'; default-src"
    probe_path = folder / "probed.html"
    text = page.replace("default-src", policy, 1).replace("</body>", f"{PROBE}</body>")
    probe_path.write_text(text, encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", NOWHERE, scheme, probe_path.as_uri()]
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
