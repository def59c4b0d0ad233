"""Measures of a text that need a model or a list. Which there are, by name: `scoring.SCORERS`.

None of these modules loads its library before the first batch.
"""
