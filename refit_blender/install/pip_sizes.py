# SPDX-License-Identifier: GPL-3.0-or-later
"""A script for the environment's Python: what `pip install` would fetch, and how many bytes each file has.

Usage: pip_sizes.py ANSWER [arguments of `pip install`]. ANSWER: a file that gets a list of {name, version, url, size}.
pip itself chooses the versions and asks the servers, with the user's settings: indexes, proxies, certificates and
passwords. Its own dry run would load the files before version 25.3, so this ends it when the versions are chosen.
Where pip fails it prints why, as always; where its inside is not as expected there is no answer. Tried with
pip 22.3 to 26.3.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    from pip._internal.cli.cmdoptions import use_new_feature
    from pip._internal.commands import create_command
    from pip._internal.models.wheel import Wheel
    from pip._internal.operations.prepare import RequirementPreparer
    from pip._internal.resolution.resolvelib.resolver import Resolver
except ImportError as error:
    print(f"This pip is unknown: {error}")
    sys.exit()

command = create_command("install")
choose_versions = Resolver.resolve


def lazy_metadata():
    """The option by which pip loads only a part of a wheel to see what it needs, where pip has it."""
    known = "fast-deps" in getattr(use_new_feature, "keywords", {}).get("choices", ())
    return ["--use-feature=fast-deps"] if known else []


def size(session, link):
    """Bytes of a file; None where the server does not say."""
    if link.is_file:
        return os.path.getsize(link.file_path)
    try:
        answer = session.head(link.url_without_fragment, headers={"Accept-Encoding": "identity"}, allow_redirects=True)
        answer.raise_for_status()
        return int(answer.headers["Content-Length"])
    except Exception as error:  # noqa: BLE001 - of any library in pip
        print(f"No size of {link.filename}: {error}")
        return None


def describe(links):
    session = command.get_default_session(None)  # the one that pip has made
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda link: size(session, link), links))
    wheels = [Wheel(link.filename) for link in links]
    return [
        {"name": wheel.name, "version": wheel.version, "url": link.url_without_fragment, "size": count}
        for link, wheel, count in zip(links, wheels, sizes, strict=True)
    ]


def choose_and_end(self, *arguments, **more):
    chosen = choose_versions(self, *arguments, **more)
    try:
        answer = describe([requirement.link for requirement in chosen.requirements.values()])
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(answer, file)
    except Exception as error:  # noqa: BLE001 - the sizes are unknown then, and nothing is wrong with the packages
        print(f"This pip is unknown: {error}")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    Resolver.resolve = choose_and_end
    RequirementPreparer.prepare_linked_requirements_more = lambda *arguments, **more: None
    sys.exit(command.main(["--dry-run", "--ignore-installed", *lazy_metadata(), *sys.argv[2:]]))
