"""Model providers: a package for each vendor behind one seam. A vendor's SDK is imported in its `client` alone."""
