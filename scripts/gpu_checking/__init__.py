"""The stages of `gpu_check.sh`, each a command that prints a table and writes JSON."""
