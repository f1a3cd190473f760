"""Parts of scripts/measure_editing.py."""
