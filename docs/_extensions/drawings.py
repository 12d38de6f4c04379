"""Shows Mermaid drawings without loading Mermaid.

`make pictures` draws each Mermaid block of the pages into docs/images/drawings/, under a name made
of the block's text. The site shows that picture, or the block as text where it has not been drawn.
"""

import hashlib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "images/drawings"


def picture_of(text: str) -> str:
    """The file name of a drawing's picture."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16] + ".svg"


class Mermaid(SphinxDirective):
    """A ```mermaid block."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        picture = f"{FOLDER}/{picture_of(text)}"
        if Path(self.env.srcdir, picture).is_file():
            return [nodes.image(uri=f"/{picture}", alt="A drawing of what the text says")]
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True}
