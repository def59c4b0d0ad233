"""Pages to documents: extract, identify, measure, judge, edit. Loads neither Spark nor torch nor datatrove.

>>> from corpusmill.clean import GopherQuality
>>> GopherQuality().judge("too short")
'too_few_words'
"""

from corpusmill.clean.datatrove_filter import as_datatrove
from corpusmill.clean.editors import EDITORS, C4Lines, Citations, Editor, Ftfy, PiiMask, RefinedWebLines, Whitespace
from corpusmill.clean.language_filter import LanguageFilter
from corpusmill.clean.rules import (
    RULES,
    C4Quality,
    FineWebQuality,
    GopherQuality,
    GopherRepetition,
    Lengths,
    Rule,
    Symbols,
)
from corpusmill.clean.spark_udf import as_spark_udf
from corpusmill.clean.text_measures import measure
from corpusmill.clean.url_rules import UrlFilter

__all__ = [
    "EDITORS",
    "RULES",
    "C4Lines",
    "C4Quality",
    "Citations",
    "Editor",
    "FineWebQuality",
    "Ftfy",
    "GopherQuality",
    "GopherRepetition",
    "LanguageFilter",
    "Lengths",
    "PiiMask",
    "RefinedWebLines",
    "Rule",
    "Symbols",
    "UrlFilter",
    "Whitespace",
    "as_datatrove",
    "as_spark_udf",
    "measure",
]
