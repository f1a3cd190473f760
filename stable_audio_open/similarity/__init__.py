"""Audio hashes, embeddings and nearest pairs."""
