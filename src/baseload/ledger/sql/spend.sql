-- What was metered, by the dimensions asked for. `source` is rows of attempts (see `wide.py`): files of the lake, and
-- what the hot store holds beyond them. A call is counted in the row that ended it, so calls add up over any grouping.
select
  /* keys */
  count(*) filter (final) as calls,
  count(number) as attempts,
  count(*) filter (status in ('failed', 'timeout')) as failed,
  count(*) filter (evidence <> 'none' and cost_nanousd is null) as unpriced,
  /* leaves */
  coalesce(sum(cost_nanousd), 0) as cost_nanousd,
  coalesce(sum(case when own = 1 then cost_nanousd end), 0) as own_nanousd,
  coalesce(sum(provider_nanousd), 0) as provider_nanousd
from (/* source */) as source
where at_ns >= $since_ns and at_ns < $until_ns
  /* conditions */
group by all
order by /* order */
