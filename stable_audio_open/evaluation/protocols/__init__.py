"""What is generated and compared, and which parts of it: the data sets of section 5."""
