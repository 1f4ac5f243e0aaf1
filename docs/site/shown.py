"""How what GitHub shows in its way is shown on the site: two pictures of one thing, a page within a
page, links to pages that are HTML already, and pages that no list names."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)
SOURCE = re.compile(r'<source [^>]*srcset="([^"]+)"')
IMAGE = re.compile(r'<img [^>]*src="([^"]+)"')
ALTERNATIVE = re.compile(r'<img [^>]*alt="([^"]*)"', re.DOTALL)
MORE = "<!-- pages that no list above names -->"


class Pictures(SphinxTransform):
    """``<picture>``: its dark source in the dark colours of the site, its image in the light ones.

    The site has a switch of its own, which a browser's media query knows nothing of.
    """

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if PICTURE.search(raw.astext()):
                raw.replace_self(pictures_of(raw.astext()))


def pictures_of(html: str) -> list[nodes.Node]:
    words = ALTERNATIVE.search(html)
    found: list[nodes.Node] = []
    for pattern, only in ((IMAGE, "only-light"), (SOURCE, "only-dark")):
        match = pattern.search(html)
        if match is None or words is None:
            raise ValueError(f"a picture needs a dark source, an image and words: {html}")
        image = nodes.image(uri=match[1], alt=words[1], classes=[only, "wide"])
        found.append(image)
    return found


class ReadyPages(SphinxTransform):
    """A link to a page that is HTML already opens it, and is no download."""

    default_priority = 900

    def apply(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(addnodes.download_reference)):
            target = str(link["reftarget"])
            if target.endswith(".html"):
                up = "../" * self.env.docname.count("/")
                reference = nodes.reference("", "", refuri=up + Path(target).name, internal=True)
                reference += link.children
                link.replace_self(reference)


class Embedded(SphinxDirective):
    """A page within the page. Its content says what makes it, where nothing can be embedded."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir, self.arguments[0])
        if not file.is_file():
            raise self.error(f"there is no {file}")
        up = "../" * self.env.docname.count("/")
        frame = (
            f'<iframe class="embedded" src="{escape(up + file.name)}" loading="lazy" '
            f'title="{escape(file.stem)}"></iframe>'
        )
        return [nodes.raw("", frame, format="html")]


BESIDE = {"CONTRIBUTING.md": "contributing", "SECURITY.md": "security"}
"""Files beside docs/, and the page of the site that holds each."""


def keep_on_the_site(app: Sphinx, docname: str, source: list[str]) -> None:
    """What lies beside docs/ has a page of the site that holds it."""
    for file, page in BESIDE.items():
        if docname == page:
            source[0] = source[0].replace(f"[{file}](../{file})", file)
        else:
            source[0] = source[0].replace(f"](../{file}", f"]({page}.md")


def add_pages_without_a_list(app: Sphinx, docname: str, source: list[str]) -> None:
    """The front page lists what no list names under a heading of its own: nothing is lost."""
    if docname != app.config.root_doc:
        return
    listed = set()
    for path in [*Path(app.srcdir).glob("*.md"), *Path(app.srcdir).glob("commands/*.md")]:
        for block in re.findall(r"^```{toctree}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S):
            listed |= {line.strip() for line in block.splitlines()}
    rest = sorted(path.stem for path in Path(app.srcdir).glob("*.md") if path.stem not in listed)
    rest.remove(docname)
    block = ""
    if rest:
        block = "```{toctree}\n:hidden:\n:caption: More\n\n" + "\n".join(rest) + "\n```"
    source[0] = source[0].replace(MORE, block)


def serve_the_keyboard(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """What the theme leaves out: blocks that scroll sideways take the focus, and the captions of
    the navigation, headings to a screen reader, have a level."""
    if "body" in context:
        context["body"] = context["body"].replace("<pre>", '<pre tabindex="0">')
    tree = context.get("furo_navigation_tree")
    if tree:
        level = 'class="caption" role="heading" aria-level="2"'
        context["furo_navigation_tree"] = tree.replace('class="caption" role="heading"', level)


def setup(app: Sphinx) -> dict[str, object]:
    app.add_transform(Pictures)
    app.add_transform(ReadyPages)
    app.add_directive("embedded", Embedded)
    app.connect("source-read", keep_on_the_site)
    app.connect("source-read", add_pages_without_a_list)
    app.connect("html-page-context", serve_the_keyboard, priority=900)  # after the theme's own
    return {"parallel_read_safe": True}
