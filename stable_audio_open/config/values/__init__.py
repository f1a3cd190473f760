"""JSON values against configuration types: parsing, checks, overrides, and words for mistakes."""
