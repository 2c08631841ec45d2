"""Counts, errors and latencies of calls by API, application, user and more, kept by minute, hour and day."""

from hookgate_statistics.cells import DIMENSIONS, OTHER, Cell, Key
from hookgate_statistics.flushing import Flushing, Gathered
from hookgate_statistics.observer import Statistics, statistics_of
from hookgate_statistics.questions import Answer, Question, TooMuch
from hookgate_statistics.sketch import ERROR, quantile
from hookgate_statistics.writer import Writer

__all__ = [
    "DIMENSIONS",
    "ERROR",
    "OTHER",
    "Answer",
    "Cell",
    "Flushing",
    "Gathered",
    "Key",
    "Question",
    "Statistics",
    "TooMuch",
    "Writer",
    "quantile",
    "statistics_of",
]
