"""PANNs: tags of sound (CNN14, frame by frame)."""
