"""A protocol of the paper: request, make, measure, report."""
