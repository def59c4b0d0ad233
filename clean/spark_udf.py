"""Rules and editors as Spark functions over a column.

Needs the extra `spark`; importing this loads none of it. Reasons, then the rows that have none:

    pages.withColumn("reason", as_spark_udf(GopherQuality())("text")).where("reason IS NULL")
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from corpusmill.errors import InputError, require_extra


def as_spark_udf(block: Any) -> Any:
    """A Spark function of one string column: the reason of a rule (null where kept), or the text of an editor.

    `block` is anything with `judge_batch` or `edit_batch`. Batches go over as Arrow, with no Python object per row;
    corpusmill must be installed where Spark's Python workers run.
    """
    apply = getattr(block, "judge_batch", None) or getattr(block, "edit_batch", None)
    if apply is None:
        raise InputError(f"as_spark_udf: {type(block).__name__} has neither judge_batch nor edit_batch")
    require_extra("as_spark_udf", "spark", "pyspark", "pandas")
    try:
        from pyspark.sql.functions import arrow_udf  # type: ignore[attr-defined]
    except ImportError:  # before Spark 4.1
        return _through_pandas(apply)

    def over_column(column: pa.Array) -> pa.Array:
        return apply(column).cast(pa.string())

    # Spark tells kinds of functions apart by their hints, which must be types here and not strings
    over_column.__annotations__ = {"column": pa.Array, "return": pa.Array}
    return arrow_udf(over_column, returnType="string")


def _through_pandas(apply: Any) -> Any:
    import pandas as pd  # type: ignore[import-untyped]
    from pyspark.sql.functions import pandas_udf  # type: ignore[attr-defined]

    def over_series(column: Any) -> Any:
        return apply(pa.array(column, pa.large_string(), from_pandas=True)).to_pandas()

    over_series.__annotations__ = {"column": pd.Series, "return": pd.Series}
    return pandas_udf(over_series, returnType="string")
