"""Tables 1 to 7 of the paper with our rows, as Markdown, JSON and HTML."""
