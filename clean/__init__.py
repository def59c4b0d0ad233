"""Pages to documents: extract, identify, measure, judge, edit. Loads neither Spark nor torch nor datatrove.

>>> from corpusmill.clean import GopherQuality
>>> GopherQuality().judge("too short")
'too_few_words'
"""

from corpusmill.clean.language_filter import LanguageFilter
from corpusmill.clean.rules import RULES, GopherQuality, Rule
from corpusmill.clean.text_measures import measure
from corpusmill.clean.url_rules import UrlFilter

__all__ = ["RULES", "GopherQuality", "LanguageFilter", "Rule", "UrlFilter", "measure"]
