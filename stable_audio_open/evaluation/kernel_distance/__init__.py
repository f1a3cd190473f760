"""The kernel distance of sets of embeddings (KAD), and how sure it is."""
