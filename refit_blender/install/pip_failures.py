# SPDX-License-Identifier: GPL-3.0-or-later
"""Why pip failed, in one sentence that says what to do: from what it printed and from its log.

pip goes on when a package index cannot be reached, and ends with "No matching distribution" then, which is what it
also says where an index has nothing that fits. Its log (`--log`) has the reason. Tried with pip 22.3 to 26.3.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# Patterns of a reason and the sentence for it; the first that matches is taken. {where}: the server's name.
_DISK_AND_FILES = (
    (
        r"\[Errno (?:28|122)\]|\[WinError 112\]|No space left on device|Disk quota exceeded",
        "The disk is full: free some space, then try again.",
    ),
    (
        r"(?:PermissionError|OSError)\b.*\[(?:Errno (?:1|13|30)|WinError 5)\](?:[^\n]*?: (['\"])(?P<path>[^\n]+?)\1)?",
        "There is no permission to write {path}: change that, or ask who looks after this computer.",
    ),
    (
        r"Could not find a suitable TLS CA certificate bundle, invalid path: (?P<path>\S+)",
        "The file of certificates {path}, which pip's settings name, is missing: correct them (pip config list).",
    ),
    (
        r"DO NOT MATCH THE HASHES|IncompleteRead|IncompleteDownloadError|download incomplete|BadZipFile",
        "A downloaded file is damaged: try again.",
    ),
)
_NETWORK = (
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "The certificate of {where} is not trusted: where a proxy or a virus scanner reads the connection, give pip "
        "its certificate (pip config set global.cert FILE), then try again.",
    ),
    (
        r"\b407\b.*Proxy|Proxy.*\b407\b",
        "The proxy wants a user name and a password: set HTTPS_PROXY to http://NAME:PASSWORD@HOST:PORT, then start "
        "Blender again.",
    ),
    (
        r"ProxyError|[Pp]roxy connection error|connect to proxy|Tunnel connection failed|InvalidProxyURL"
        r"|ProxySchemeUnknown",
        "The proxy refuses or does not answer: correct the proxy settings (HTTPS_PROXY, or pip config list), then try "
        "again.",
    ),
    (
        r"NameResolutionError|Failed to resolve|Name or service not known|Temporary failure in name|getaddrinfo failed"
        r"|nodename nor servname",
        "The server {where} was not found: check the network connection, then try again.",
    ),
    (
        r"SSLError|SSL:",
        "The secure connection to {where} failed: check the proxy settings and the clock, then try again.",
    ),
    (
        r"(?:too many |HTTP error )5\d\d|\b5\d\d Server Error",
        "The server {where} has a fault: try again later.",
    ),
    (
        r"\b401\b|\b403\b",
        "The server {where} refuses access: check the package index and its password (pip config list), then try "
        "again.",
    ),
    (
        r"NewConnectionError|ConnectTimeout|ConnectionError|Connection refused|connection error|ConnectionReset"
        r"|RemoteDisconnected|Connection aborted|Read ?Timeout|timed out|ProtocolError|Network is unreachable"
        r"|Max retries exceeded",
        "The server {where} does not answer: check the network connection and any firewall, then try again.",
    ),
)
# As most versions of pip say it, and as new ones do where a constraint names the package as well.
_NO_PACKAGE = r"(?i:no matching distribution(?:s available for your environment:\s+| found for ))([A-Za-z0-9._-]+)"


def failure_sentence(printed: str, log: str, python_version: str, versions: str) -> str:
    """The sentence for a pip that failed.

    printed: its last lines; log: the file of `--log`; python_version: of the environment; versions: what is wanted.
    """
    if sentence := _first_match(_DISK_AND_FILES, printed):
        return sentence
    if missing := re.search(_NO_PACKAGE, printed):
        return _nothing_found(missing[1], log, python_version, versions)
    if sentence := _first_match(_NETWORK, printed):
        return sentence
    lines = printed.splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return f"The packages could not be installed: {(errors or lines or ['pip said nothing'])[-1][:300]}"


def environment_failure(printed: str, python: str) -> str:
    """The sentence for a `python -m venv` that failed."""
    if "ensurepip" in printed or "python3-venv" in printed:
        return f"{python} cannot make environments: install its venv package (python3-venv), then try again."
    last = (printed.splitlines() or ["it said nothing"])[-1]
    return _first_match(_DISK_AND_FILES, printed) or f"No environment could be made with {python}: {last[:300]}"


def system_failure(error: OSError) -> str:
    """The sentence for a file or program that the operating system refused."""
    if error.errno is None:
        return f"The engine could not be installed: {error}."
    path = f": {error.filename!r}" if error.filename else ""
    text = f"OSError: [Errno {error.errno}] {error.strerror}{path}"
    return _first_match(_DISK_AND_FILES, text) or f"The engine could not be installed: {error.strerror}{path}."


def _nothing_found(package: str, log: str, python_version: str, versions: str) -> str:
    """Whether an index could not be read, has no such package, or has none that fits."""
    name = re.escape(re.sub(r"[-_.]+", "-", package).lower())
    reasons = re.findall(rf"Could not fetch URL (\S+/{name}/?): (.*)", log)
    for url, reason in reasons:
        if sentence := _first_match(_NETWORK, reason, urlsplit(url).hostname or ""):
            return sentence
    if "the wheel's tags" in log or "equires a different Python" in log or "equires-Python" in log:
        return f"There is no {package} for Python {python_version} on this system: Python {versions} is needed."
    indexes = [url.rsplit("/", 1)[0].removesuffix(f"/{package.lower()}") for url, _ in reasons]
    indexes += re.findall(rf"Location '(\S+?)/{name}/?' is ignored", log)
    where = f"The package index {indexes[-1]}" if indexes else "The package index"
    return f"{where} has no {package}: check PyTorch Index in the preferences and pip's settings (pip config list)."


def _first_match(table: tuple[tuple[str, str], ...], text: str, host: str = "") -> str:
    for pattern, sentence in table:
        if found := re.search(pattern, text):
            path = found.groupdict().get("path") or "the engine's folder"
            return sentence.format(where=host or _host_in(text) or "of the packages", path=path)
    return ""


def _host_in(text: str) -> str:
    found = re.search(r"https?://(?:[^/@\s]*@)?([\w.-]+)|host='([^']+)'", text)
    return (found[1] or found[2]) if found else ""
