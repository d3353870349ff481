# SPDX-License-Identifier: GPL-3.0-or-later
"""What pip says when something is in the way, by several of its versions, and the sentence made of it."""

import errno

import pytest

from refit_blender.install.pip_failures import environment_failure, failure_sentence, system_failure

NOTHING = "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n"
NOTHING += "ERROR: No matching distribution found for torch"
BROKEN = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by"
URL = "https://packages.example.org/simple/torch/"
POOL = "HTTPSConnectionPool(host='packages.example.org', port=443): Max retries exceeded with url: /simple/torch/"
OLD = "<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection:"


def sentence(printed: str, logged: str = "") -> str:
    return failure_sentence(printed, logged, "3.11", "3.11 or 3.12")


def unread(reason: str) -> str:
    """The line in the log for a page that could not be read."""
    return f"2026-01-01T00:00:00,000 Could not fetch URL {URL}: {reason} - skipping\n"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        # pip 22.3, then pip 26.3, where both say it in their own way
        (
            f"connection error: {POOL} (Caused by NewConnectionError('{OLD} [Errno -2] Name or service not known'))",
            "found",
        ),
        (
            "connection error: Failed to resolve 'packages.example.org' ([Errno -3] Temporary failure in name "
            "resolution)",
            "found",
        ),
        (f"connection error: {POOL} (Caused by NewConnectionError('{OLD} [Errno 11001] getaddrinfo failed'))", "found"),
        (f"connection error: {POOL} (Caused by NewConnectionError('{OLD} [Errno 111] Connection refused'))", "answer"),
        (
            "connection error: HTTPSConnection(host='packages.example.org', port=443): Failed to establish a new "
            "connection: [Errno 101] Network is unreachable",
            "answer",
        ),
        (
            "connection error: HTTPSConnection(host='packages.example.org', port=443): Read timed out. (timeout=15.0)",
            "answer",
        ),
        (
            f"connection error: {POOL} (Caused by ProxyError('Cannot connect to proxy.', NewConnectionError('{OLD} "
            "[Errno 111] Connection refused')))",
            "proxy",
        ),
        (
            "proxy connection error: ('Unable to connect to proxy', NewConnectionError(\"HTTPSConnection("
            "host='127.0.0.1', port=9): Failed to establish a new connection: [Errno 111] Connection refused\"))",
            "proxy",
        ),
        ("proxy connection error: OSError('Tunnel connection failed: 403 Forbidden')", "proxy"),
        (
            f"connection error: {POOL} (Caused by ProxyError('Cannot connect to proxy.', OSError('Tunnel "
            "connection failed: 407 Proxy Authentication Required')))",
            "password",
        ),
        ("proxy connection error: OSError('Tunnel connection failed: 407 Proxy Authentication Required')", "password"),
        (
            "There was a problem confirming the ssl certificate: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
            "failed: self-signed certificate (_ssl.c:1006)",
            "certificate",
        ),
        (f"403 Client Error: Forbidden for url: {URL}", "refuses"),
        (f"401 Client Error: Unauthorized for url: {URL}", "refuses"),
        (f"{POOL} (Caused by ResponseError('too many 503 error responses'))", "fault"),
    ],
)
def test_a_page_that_could_not_be_read_is_the_reason(reason, expected):
    sentences = {
        "found": "The server packages.example.org was not found: check the network connection, then try again.",
        "answer": "The server packages.example.org does not answer: check the network connection and any",
        "proxy": "The proxy refuses or does not answer: correct the proxy settings",
        "password": "The proxy wants a user name and a password: set HTTPS_PROXY",
        "certificate": "The certificate of packages.example.org is not trusted: where a proxy or a virus scanner",
        "refuses": "The server packages.example.org refuses access: check the package index and its password",
        "fault": "The server packages.example.org has a fault: try again later.",
    }
    said = sentence(f"{BROKEN} 'something': /simple/torch/\n{NOTHING}", unread(reason))
    assert said.startswith(sentences[expected])


def test_an_index_that_is_not_there_is_told_from_a_python_that_is_too_new():
    not_there = unread(f"404 Client Error: Not Found for url: {URL}")
    assert sentence(NOTHING, not_there).startswith(
        "The package index https://packages.example.org/simple has no torch:"
    )
    folder = "WARNING: Location 'file:///srv/simple/torch/' is ignored: it is neither a file nor a directory."
    assert sentence(NOTHING, folder).startswith("The package index file:///srv/simple has no torch:")
    skipped = "  Skipping link: none of the wheel's tags (cp399-cp399-linux_x86_64) are compatible (run pip debug)\n"
    expected = "There is no torch for Python 3.11 on this system: Python 3.11 or 3.12 is needed."
    assert sentence(NOTHING, not_there + skipped) == expected


def test_a_constraint_in_the_users_settings_hides_no_reason():
    printed = "ERROR: Cannot install torch because these package versions have conflicting dependencies.\n"
    printed += "Additionally, some packages in these conflicts have no matching distributions available for your "
    printed += "environment:\n    torch\nERROR: ResolutionImpossible: for help visit https://example.org/"
    unresolved = unread("connection error: Failed to resolve IP address for 'packages.example.org' ([Errno -2])")
    assert "The server packages.example.org was not found" in sentence(printed, unresolved)


def test_another_package_that_an_index_lacks_is_no_reason():
    log = unread("403 Client Error: Forbidden").replace("/torch/", "/numpy/") + unread("404 Client Error: Not Found")
    assert "has no torch" in sentence(NOTHING, log)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        (
            "ERROR: Could not install packages due to an OSError: [WinError 112] Es steht nicht genug Platz",
            "The disk is full",
        ),
        ("OSError: [Errno 122] Disk quota exceeded", "The disk is full"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/opt/engine/a.py'\n"
            "Check the permissions.",
            "There is no permission to write /opt/engine/a.py:",
        ),
        (
            "ERROR: Could not install packages due to an OSError: Could not find a suitable TLS CA certificate bundle, "
            "invalid path: /nowhere/ca.pem",
            "The file of certificates /nowhere/ca.pem, which pip's settings name, is missing",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "A downloaded file is damaged"),
        (
            "ERROR: HTTP error 503 while getting https://files.example.org/torch.whl",
            "The server files.example.org has a fault",
        ),
        (
            "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='files.example.org', port=443): "
            "Read timed out.",
            "The server files.example.org does not answer",
        ),
        (
            "Collecting torch\nERROR: Cannot install this.\nTry that.",
            "The packages could not be installed: ERROR: Cannot",
        ),
    ],
)
def test_what_stops_pip_is_named(printed, expected):
    assert sentence(printed).startswith(expected)


def test_what_the_system_refuses_is_named():
    assert system_failure(OSError(errno.ENOSPC, "No space left on device")).startswith("The disk is full")
    refused = system_failure(PermissionError(errno.EACCES, "Permission denied", "/opt/engine"))
    assert refused.startswith("There is no permission to write /opt/engine:")
    assert system_failure(OSError(errno.EIO, "Input/output error")).endswith("Input/output error.")


def test_an_environment_that_cannot_be_made_is_explained():
    debian = "The virtual environment was not created successfully because ensurepip is not\navailable. On Debian"
    assert "install its venv package" in environment_failure(debian, "/usr/bin/python3.14")
    assert environment_failure("Error: [Errno 28] No space left on device: '/x'", "python").startswith(
        "The disk is full"
    )
