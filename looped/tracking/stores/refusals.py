"""What a server or the proxy before it refused, in a line: what it said, and what can be done."""

import os
import re

from looped.names import Variable

_MLFLOW = re.compile(
    r"API request to (?:endpoint )?(?P<place>\S+) failed with error code (?P<code>\d+) != 200\."
    r"(?: Response body: '(?P<body>.*)')?",
    re.DOTALL,
)
_REQUESTS = re.compile(
    r"(?P<code>\d{3}) (?:Client|Server) Error: [^:]* for url: (?P<place>\S+?)\.?"
    r"(?:\s+Response text: (?P<body>.*))?$",
    re.DOTALL,
)
_TITLE = re.compile(r"<title>\s*(?:\d{3}\s+)?(.*?)\s*</title>", re.DOTALL | re.IGNORECASE)
_REMEDIES = {
    401: "the server must know who asks: {user} "
    "(MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say it)",
    403: "{user} may not do that there: MLFLOW_EXPERIMENT_NAME or --experiment-name names another "
    "experiment, one that does not exist yet becomes your own, and the owner of an experiment or a "
    "registered model can let others edit it",
    404: "the address must be that of MLflow, with the path that a proxy gives it, as "
    "https://<host>/mlflow",
    413: "the proxy must let larger requests pass, as nginx does with client_max_body_size 0",
    502: "the proxy runs, MLflow behind it does not",
    504: "the proxy must wait longer, as nginx does with proxy_read_timeout 300s",
}


def shortened(text: str) -> str:
    """Write a refusal without the page that came with it, and with what can be done.

    Example:
        >>> page = "<html> <head><title>413 Request Entity Too Large</title></head> </html>"
        >>> shortened("API request to endpoint /api/2.0/mlflow/runs/log-batch failed with error "
        ...     f"code 413 != 200. Response body: '{page}'").partition(";")[0]
        'HTTP 413 of /api/2.0/mlflow/runs/log-batch (Request Entity Too Large)'
        >>> shortened("Run 'x' not found")
        "Run 'x' not found"
    """
    match = _MLFLOW.search(text) or _REQUESTS.search(text)
    if match is None:
        return text
    code, body = int(match["code"]), match["body"] or ""
    title = _TITLE.search(body)
    words = " ".join((title[1] if title else body).split())
    line = f"HTTP {code} of {match['place']}" + (f" ({words})" if words else "")
    is_page = title is not None  # a proxy's; MLflow itself answers in words or JSON
    if code in _REMEDIES and (code == 401 or is_page == (code != 403)):
        line += f"; {_REMEDIES[code].format(user=_user())}"
    return text[: match.start()] + line + text[match.end() :]


def _user() -> str:
    if os.environ.get(Variable.TOKEN):
        return "whoever has this token"
    name = os.environ.get(Variable.USERNAME)
    return f"user {name}" if name else "nobody is named by MLFLOW_TRACKING_USERNAME"
