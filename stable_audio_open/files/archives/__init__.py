"""Files that hold others: tars, zips and pickles."""
