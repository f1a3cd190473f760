"""The frame of an HTML page: one file that fetches nothing."""

from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem;
  color: #1c2430; background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #d5dae2; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; } th { border-bottom: 1px solid #1c2430; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { font-size: 13px; }
small { color: #5b6675; overflow-wrap: anywhere; }
"""
"""Of every page; a page's own rules come behind it."""


def html_page(title: str, body: str, style: str = "", *, heading: str | None = None) -> str:
    """Return an HTML document.

    Args:
        title: As text; escaped here.
        body: HTML below the heading, in which whatever comes from outside is escaped.
        style: The page's own rules in CSS.
        heading: As text; the title when None.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}{style}</style></head>\n"
        f"<body><h1>{escape(title if heading is None else heading)}</h1>{body}</body></html>\n"
    )
