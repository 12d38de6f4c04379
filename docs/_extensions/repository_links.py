"""Makes links to Markdown files outside docs/ (README, CHANGELOG, CONTRIBUTING) downloads.

In the repository such a link opens the file. The site has no page for it, so it hands the file out.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[\w./-]+\.md)(?:#[\w-]+)?\)")


def hand_out(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrites the links of one page that is about to be read."""
    folder = Path(app.env.doc2path(docname)).parent

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = (folder / target).resolve()
        if path.is_relative_to(app.srcdir) or not path.is_file():
            return match.group()
        return f"{{download}}`{text.replace('`', '')} <{target}>`"

    source[0] = LINK.sub(link, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", hand_out)
    return {"parallel_read_safe": True}
