"""Work and weights split over processes and memories."""
