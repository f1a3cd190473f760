"""OpenL3: embeddings of sound."""
