"""What is said of a report: on the terminal, as Markdown, as figures."""
