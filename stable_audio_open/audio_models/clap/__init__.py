"""CLAP: embeddings of sound and text."""
