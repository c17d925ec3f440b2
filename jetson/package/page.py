"""index.html of an offline package: what to type, what lies in it, and the pages that help."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template

from markdown_it import MarkdownIt

from scanside.jetson.package.contents import BUNDLES, Contents

_PAGE, _HERE = re.compile(r'href="([\w-]+\.md)"'), r'href="#\1"'


def render_page(contents: Contents, signer: str, pages: Mapping[str, str]) -> str:
    """The page, self-contained. signer: id of the key that signs the package, or empty. pages:
    Markdown by file name, appended in this order."""
    template = Template((files(__package__) / "page.html").read_text())
    # Raw HTML in a page is shown as text.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    rows = "".join(
        f"\n<tr><td>{html.escape(file.name)}<td class=n>{readable(file.size)}"
        f"<td class=sum>{file.sha256}"
        for file in contents.files
    )
    return template.substitute(
        name=html.escape(contents.name),
        version=html.escape(contents.version),
        jetpack=contents.jetpack,
        python=contents.python,
        created=html.escape(contents.created.removesuffix("Z").replace("T", " ")),
        signature=_signature(signer),
        engines=_engines(contents),
        commands=markdown.render(f"```\n{commands(contents, signer)}\n```"),
        count=len(contents.files),
        size=readable(sum(file.size for file in contents.files)),
        files=rows,
        docs="\n".join(
            f'<hr id="{name}">\n{_PAGE.sub(_HERE, markdown.render(text))}'
            for name, text in pages.items()
        ),
    )


def commands(contents: Contents, signer: str) -> str:
    """What a field engineer types, from the .tar to a tested appliance."""
    bundles = [file.name for file in contents.files if file.name.startswith(f"{BUNDLES}/")]
    who = f"--key {signer[:16]}" if signer else "--allow-unsigned"
    lines = [
        f"tar xf {contents.name}.tar && cd {contents.name}",
        f"sudo bash setup.sh {who}",
        f"sudo scanside device install {bundles[0] if bundles else 'FILE.scanside'}"
        + ("" if signer else " --allow-unsigned"),
        "sudo systemctl start scanside",
        "scanside device doctor",
    ]
    return "\n".join(lines)


def readable(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _signature(signer: str) -> str:
    if signer:
        return (
            f"<p class=green>Signed by the key <code>{signer}</code>. This page cannot vouch for "
            "itself: compare the id with what the key's owner told you by another way.</p>"
        )
    return (
        "<p class=red><b>This package is not signed.</b> Anybody may have made it: for a trial, "
        "never for a clinic.</p>"
    )


def _engines(contents: Contents) -> str:
    if not contents.missing:
        return "<p class=green>Its wheels run bundles with TensorRT on the GPU.</p>"
    missing = html.escape(", ".join(contents.missing))
    return (
        f"<p class=red><b>For the CPU engine only: {missing} is not in it.</b> There is no wheel "
        f"of it for aarch64. Compile it once per JetPack on a Jetson with JetPack "
        f'{contents.jetpack} (<a href="#offline-package.md">how</a>), '
        "then have the package made again with <code>EXTRA_WHEELS=FOLDER</code>.</p>"
    )
