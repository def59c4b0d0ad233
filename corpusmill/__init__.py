"""Corpusmill: from Common Crawl WARC files to token shards, and on to a trained, evaluated, served model.

Importing this package does nothing: no logging set-up, no device probing, no download.
"""

from corpusmill.version import __version__

__all__ = ["__version__"]
