"""HTML pages from templates, and figures."""
