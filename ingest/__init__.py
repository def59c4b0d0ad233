"""WARC files to pages: record batches in the schema `corpusmill.schemas.PAGES`."""

from corpusmill.ingest.warc_pages import Tally, read_pages

__all__ = ["Tally", "read_pages"]
