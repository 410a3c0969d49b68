"""Where documents come from: files here, rows of a database, pages of a website. See `base.Source`."""
