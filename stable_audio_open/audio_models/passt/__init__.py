"""PaSST: tags of sound."""
