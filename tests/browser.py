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
  const seen = getComputedStyle(document.body);
  const said = {
    pictures: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
    asked: performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:")),
    ink: seen.color, paper: seen.backgroundColor,
    overflow: document.documentElement.scrollWidth - innerWidth,
  };
  const told = document.createElement("pre");
  told.id = "probe";
  told.textContent = JSON.stringify(said);
  document.body.append(told);
})</script>"""


def look(page, folder, is_dark=False):
    """Open a page; return the console's lines and what a probe in it found."""
    policy = "script-src 'unsafe-inline'; default-src"
    probed = folder / "probed.html"
    text = page.replace("default-src", policy, 1).replace("</body>", f"{PROBE}</body>")
    probed.write_text(text, encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    own = [f"--user-data-dir={folder / 'profile'}", NOWHERE, scheme, probed.as_uri()]
    done = subprocess.run(
        [BINARY, *FLAGS, *own], capture_output=True, text=True, timeout=120, check=True
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    (told,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
    return console, json.loads(unescape(told))
