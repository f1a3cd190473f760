"""Parts that hear what is in a recording: audio to probabilities of classes, frame by frame."""
