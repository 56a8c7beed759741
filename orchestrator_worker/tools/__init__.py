"""The tools that every worker has, one file each, behind one registry."""
