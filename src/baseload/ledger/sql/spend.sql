-- What the lake holds, by the dimensions asked for. A source is rows of attempts (`wide.py`), each with what it counts
-- for, or rows that were rolled up (`rollup.py`). A call counts in the row that ended it, so calls add up over any
-- grouping. Written for DuckDB; Spark gets the same, translated.
with counted as (
  /* sources */
)
select
  /* keys */
  /* sums */
from counted
/* times */
where /* conditions */
/* groups */
