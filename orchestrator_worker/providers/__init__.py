"""Model providers, one file each; a vendor is imported there and nowhere else."""
