"""What is mended in the dashboard's templates before they are compiled.

Its scripts put what the broker holds (names of queues, descriptions of tasks, results) into pages as HTML, and one of
them into JavaScript. Here every such place escapes, and a script runs only with the nonce of its page.
"""

import re

from flask import Flask
from jinja2.ext import Extension

RAW = re.compile(r"<%=(?! \$\('<div/>'\))")
"""Where a template of underscore's writes a value as HTML; those with a `<div/>` escape it themselves."""
INLINE = '<script type="text/javascript">'
NONCED = '<script nonce="{{ g.nonce }}">'


class Hardened(Extension):
    """Rewrites the source of each template: values are escaped, scripts within the page carry the nonce."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Return the source as it is to be compiled."""
        return RAW.sub("<%-", source).replace(INLINE, NONCED)


class HardenedFlask(Flask):
    """Flask whose templates of every kind escape: what they write into scripts goes through `tojson` besides."""

    def select_jinja_autoescape(self, filename: str | None) -> bool:  # noqa: ARG002
        """Escape in scripts, too."""
        return True


def policy(nonce: str) -> str:
    """Return the content security policy of the dashboard.

    Underscore compiles its templates with `new Function`, which needs 'unsafe-eval'; what it compiles is in the page
    before any data is. Styles stand in attributes.
    """
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
