"""What is done in the database: one function takes from every limit or from none, under locks of its own."""

LOCK = 0x686B6374
"""Number of the advisory lock under which the tables are made."""
TABLES = """
CREATE TABLE IF NOT EXISTS hookgate_counters (
    slot bytea PRIMARY KEY, until double precision NOT NULL, used bigint NOT NULL);
CREATE INDEX IF NOT EXISTS hookgate_counters_that_end ON hookgate_counters (until);
CREATE OR REPLACE FUNCTION hookgate_take_1(
    now double precision, slots bytea[], costs bigint[], intervals double precision[], most double precision[],
    ends double precision[], OUT refused int, OUT before double precision[], OUT until double precision[])
LANGUAGE plpgsql AS $$
DECLARE
    kept double precision;
    counted bigint;
    spent double precision;
    olds double precision[] := '{}';
    old_counts bigint[] := '{}';
BEGIN
    refused := 0; before := '{}'; until := '{}';
    INSERT INTO hookgate_counters AS c SELECT DISTINCT w.slot, 0, 0
        FROM unnest(slots, costs) AS w(slot, cost) WHERE w.cost > 0 ORDER BY 1
        ON CONFLICT (slot) DO UPDATE SET slot = excluded.slot;
    FOR i IN 1 .. cardinality(slots) LOOP
        SELECT c.until, c.used INTO kept, counted FROM hookgate_counters c WHERE c.slot = slots[i];
        kept := coalesce(kept, 0); counted := coalesce(counted, 0);
        olds := olds || kept; old_counts := old_counts || counted;
        IF intervals[i] > 0 THEN
            spent := greatest(least(kept - now, most[i]), 0);
            until := until || (now + spent);
            IF spent + costs[i] * intervals[i] > most[i] + intervals[i] * 1e-6 THEN refused := i; END IF;
        ELSE
            -- a window that another gateway has begun counts on, also where our clock is behind
            IF kept < ends[i] THEN counted := 0; kept := ends[i]; END IF;
            spent := counted;
            until := until || kept;
            IF spent + costs[i] > most[i] THEN refused := i; END IF;
        END IF;
        before := before || spent;
        EXIT WHEN refused > 0;
        IF costs[i] > 0 THEN
            UPDATE hookgate_counters c SET
                until = CASE WHEN intervals[i] > 0 THEN now + spent + costs[i] * intervals[i] ELSE kept END,
                used = CASE WHEN intervals[i] > 0 THEN 0 ELSE counted + costs[i] END
                WHERE c.slot = slots[i];
        END IF;
    END LOOP;
    IF refused > 1 THEN  -- give back, the last one first: a slot may stand there twice
        FOR i IN REVERSE refused - 1 .. 1 LOOP
            UPDATE hookgate_counters c SET until = olds[i], used = old_counts[i]
                WHERE c.slot = slots[i] AND costs[i] > 0;
        END LOOP;
    END IF;
END $$;
"""
TAKE = "SELECT refused, before, until FROM hookgate_take_1($1, $2, $3, $4, $5, $6)"
CLEAN = """
DELETE FROM hookgate_counters WHERE slot IN (
    SELECT slot FROM hookgate_counters WHERE until < $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
