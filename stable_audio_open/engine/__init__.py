"""Where a stage of curation runs: here, in processes of this machine, or on a Ray cluster."""
