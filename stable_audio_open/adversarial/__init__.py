"""What judges whether audio is decoded or real, and the losses of that contest."""
