"""Files of weights: tensors, shards, types and names, read strictly."""
