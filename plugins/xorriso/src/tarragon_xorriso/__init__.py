"""A folder of an ISO 9660 image or an optical disc, to which the program xorriso adds sessions."""
