-- Contacts of many cases at once, with weighted minutes and whether each must be called: the same
-- that exposure.py counts for one contact.
-- Portable SQL: the same text runs on any engine over the same Parquet files. Times are integer
-- seconds, weights thousandths; no time is ever divided, and what is summed as doubles are integers
-- that doubles hold exactly, but for levels.
--
--   encounters (observer, contact, start_s, duration_s, sightings, rssi_mean, rssi_max,
--               observer_band, contact_band)
--   cases      (case_id, band, from_s, to_s)   several rows of one case_id are one case
--   known      (band)                          bands whose exposure nobody asks for
--   offsets    (band, db)                      bands whose board needs none may be left out
--   steps      (above_db, upto_db, weight, near)
--   spread     (span_s, add_s)                 add_s = 0, window_s, … span_s for each span_s
--   signs      (sign)                          1 and -1
--   rule       (window_s, bridge_s, period_s, needed, drop_shorter_s, drop_beyond_db, called_only,
--               farthest_db, heaviest)         the last step's attenuation, the highest weight
--
-- With called_only = 1 only those come who must be called, and `most` may be less than it is, though
-- never less than is needed.
--
-- A case's window is carried along from the join by band, so that nothing but that equality links
-- cases to encounters: a planner that joined by the times first would make hundreds of millions of
-- rows. A case and a contact are one number from there on, which sorts faster than two.
WITH heard AS (
    SELECT c.case_id * 4294967296 + e.contact AS pair, 1 AS side, c.from_s, c.to_s,
           e.start_s, e.duration_s, e.sightings, e.rssi_mean, e.rssi_max,
           e.observer_band, e.contact_band
    FROM cases c
    JOIN encounters e ON e.observer = c.band
    LEFT JOIN known k ON k.band = e.contact
    WHERE e.contact >= 0 AND e.contact <> e.observer AND k.band IS NULL
    UNION ALL
    SELECT c.case_id * 4294967296 + e.observer AS pair, 2 AS side, c.from_s, c.to_s,
           e.start_s, e.duration_s, e.sightings, e.rssi_mean, e.rssi_max,
           e.observer_band, e.contact_band
    FROM cases c
    JOIN encounters e ON e.contact = c.band
    LEFT JOIN known k ON k.band = e.observer
    WHERE e.observer >= 0 AND e.contact <> e.observer AND k.band IS NULL
),
lasting AS (
    SELECT pair, side, from_s, to_s, start_s, sightings, rssi_mean, rssi_max,
           observer_band, contact_band,
           CASE WHEN duration_s > 4 THEN duration_s ELSE 4 END AS length_s
    FROM heard
),
-- per_s: sightings a second; level_dbm and top_dbm: mean and strongest, calibrated.
clipped AS (
    SELECT l.pair, l.side,
           CAST(l.sightings AS DOUBLE) / l.length_s AS per_s,
           l.rssi_mean + COALESCE(o.db, 0) + COALESCE(s.db, 0) AS level_dbm,
           l.rssi_max + COALESCE(o.db, 0) + COALESCE(s.db, 0) AS top_dbm,
           CASE WHEN l.start_s > l.from_s THEN l.start_s ELSE l.from_s END AS begin_s,
           CASE WHEN l.start_s + l.length_s < l.to_s THEN l.start_s + l.length_s
                ELSE l.to_s END AS end_s
    FROM lasting l
    LEFT JOIN offsets o ON o.band = l.observer_band
    LEFT JOIN offsets s ON s.band = l.contact_band
    WHERE l.start_s < l.to_s AND l.start_s + l.length_s > l.from_s
),
-- Whoever cannot have enough is left out early, when only those are asked for who must be called: a
-- window counts only if some record in it is near enough.
possible AS (
    SELECT c.pair
    FROM clipped c
    CROSS JOIN rule r
    GROUP BY c.pair, r.called_only, r.heaviest, r.needed
    HAVING r.called_only = 0
        OR r.heaviest * SUM(CASE
            WHEN -20 - c.level_dbm <= r.farthest_db
            THEN CAST((c.end_s - 1) - (c.end_s - 1) % r.window_s
                - (c.begin_s - c.begin_s % r.window_s) + r.window_s AS DOUBLE)
            ELSE 0 END) >= r.needed
),
-- How far the case and this band have been in touch before each record.
behind AS (
    SELECT c.pair, c.side, c.per_s, c.level_dbm, c.top_dbm, c.begin_s, c.end_s,
           MAX(c.end_s) OVER (
               PARTITION BY c.pair ORDER BY c.begin_s
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS before_s
    FROM clipped c
    JOIN possible p ON p.pair = c.pair
),
-- What each record adds to the covered time: from cover_s to end_s, a short pause bridged.
covering AS (
    SELECT b.pair, b.side, b.per_s, b.level_dbm, b.top_dbm, b.begin_s, b.end_s, r.window_s,
           CASE WHEN b.before_s IS NULL OR b.begin_s > b.before_s + r.bridge_s THEN b.begin_s
                ELSE b.before_s END AS cover_s
    FROM behind b
    CROSS JOIN rule r
),
reaching AS (
    SELECT pair, side, per_s, level_dbm, top_dbm, begin_s, end_s, window_s, cover_s,
           CASE WHEN cover_s < begin_s THEN cover_s - cover_s % window_s
                ELSE begin_s - begin_s % window_s END AS first_s,
           (end_s - 1) - (end_s - 1) % window_s AS last_s
    FROM covering
),
parts AS (
    SELECT r.pair, r.side, r.per_s, r.level_dbm, r.top_dbm, r.begin_s, r.end_s, r.cover_s,
           r.first_s + p.add_s AS at_s, r.first_s + p.add_s + r.window_s AS to_s
    FROM reaching r
    JOIN spread p ON p.span_s = r.last_s - r.first_s
),
shares AS (
    SELECT pair, side, per_s, level_dbm, top_dbm, begin_s, end_s, at_s,
           CASE WHEN end_s < to_s THEN end_s ELSE to_s END
               - CASE WHEN begin_s > at_s THEN begin_s ELSE at_s END AS heard_s,
           CASE WHEN end_s < to_s THEN end_s ELSE to_s END
               - CASE WHEN cover_s > at_s THEN cover_s ELSE at_s END AS covered_s
    FROM parts
),
windows AS (
    SELECT pair, at_s,
           MIN(begin_s) AS begin_s,
           MAX(end_s) AS end_s,
           SUM(CASE WHEN covered_s > 0 THEN CAST(covered_s AS DOUBLE) ELSE 0 END) AS covered_s,
           SUM(CASE WHEN heard_s > 0 THEN per_s * heard_s ELSE 0 END) AS share,
           SUM(CASE WHEN heard_s > 0 THEN per_s * heard_s * level_dbm ELSE 0 END) AS level,
           MAX(CASE WHEN heard_s > 0 THEN top_dbm ELSE NULL END) AS top_dbm,
           MAX(CASE WHEN side = 1 THEN 1 ELSE 0 END) AS case_side,
           MAX(CASE WHEN side = 2 THEN 2 ELSE 0 END) AS other_side
    FROM shares
    GROUP BY pair, at_s
),
levels AS (
    SELECT pair, at_s, begin_s, end_s, covered_s, top_dbm, case_side, other_side,
           CASE WHEN share > 0 THEN ROUND(-20 - level / share, 6) ELSE NULL END AS attenuation_db
    FROM windows
),
-- Days are Vietnam's: UTC and 25,200 s.
weighed AS (
    SELECT l.pair, l.at_s, l.begin_s, l.end_s, l.covered_s, l.top_dbm, l.case_side, l.other_side,
           l.at_s - (l.at_s + 25200) % 86400 AS day_s,
           COALESCE(s.weight, 0) AS weight,
           COALESCE(s.near, 0) AS near
    FROM levels l
    LEFT JOIN steps s ON l.attenuation_db > s.above_db AND l.attenuation_db <= s.upto_db
),
-- Days that do not count: none where the rule drops nothing.
dropped AS (
    SELECT w.pair, w.day_s
    FROM weighed w
    CROSS JOIN rule r
    WHERE r.drop_shorter_s > 0 OR r.drop_beyond_db < 1000
    GROUP BY w.pair, w.day_s, r.drop_shorter_s, r.drop_beyond_db
    HAVING SUM(w.covered_s) < r.drop_shorter_s OR -20 - MAX(w.top_dbm) > r.drop_beyond_db
),
counted AS (
    SELECT w.pair, w.at_s, w.begin_s, w.end_s, w.covered_s, w.top_dbm, w.case_side, w.other_side,
           w.near,
           CASE WHEN d.day_s IS NULL THEN w.covered_s * w.weight ELSE 0 END AS value
    FROM weighed w
    LEFT JOIN dropped d ON d.pair = w.pair AND d.day_s = w.day_s
),
sums AS (
    SELECT pair,
           MIN(begin_s) AS first_s,
           MAX(end_s) AS last_s,
           MIN(CASE WHEN value > 0 THEN at_s ELSE NULL END) AS exposed_s,
           SUM(covered_s * near) AS near_s,
           SUM(value) AS weighted,
           SUM(covered_s) AS total_s,
           -20 - MAX(top_dbm) AS closest_db,
           MAX(case_side) + MAX(other_side) AS sides
    FROM counted
    GROUP BY pair
),
-- Whole periods first: most of those who must be called have enough in one of these.
periods AS (
    SELECT c.pair, c.at_s - c.at_s % r.period_s AS period_begin_s, SUM(c.value) AS total
    FROM counted c
    CROSS JOIN rule r
    WHERE c.value > 0
    GROUP BY c.pair, c.at_s - c.at_s % r.period_s
),
best_period AS (
    SELECT pair, MAX(total) AS most
    FROM periods
    GROUP BY pair
),
open_question AS (
    SELECT s.pair
    FROM sums s
    JOIN best_period b ON b.pair = s.pair
    CROSS JOIN rule r
    WHERE r.called_only = 0 OR (s.weighted >= r.needed AND b.most < r.needed)
),
-- Each window's minutes come at its time and go a period later: the highest sum in between is the
-- most in any period.
running AS (
    SELECT c.pair,
           SUM(c.value * g.sign) OVER (
               PARTITION BY c.pair
               ORDER BY CASE WHEN g.sign > 0 THEN c.at_s ELSE c.at_s + r.period_s END, g.sign
               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
           ) AS total
    FROM counted c
    JOIN open_question q ON q.pair = c.pair
    CROSS JOIN signs g
    CROSS JOIN rule r
    WHERE c.value > 0
),
most AS (
    SELECT pair, MAX(total) AS most
    FROM running
    GROUP BY pair
),
judged AS (
    SELECT s.pair, s.first_s, s.last_s, s.exposed_s, s.near_s, s.weighted, s.total_s,
           s.closest_db, s.sides, COALESCE(m.most, b.most, 0) AS most
    FROM sums s
    LEFT JOIN best_period b ON b.pair = s.pair
    LEFT JOIN most m ON m.pair = s.pair
)
SELECT CAST((j.pair - j.pair % 4294967296) / 4294967296 AS BIGINT) AS case_id,
       j.pair % 4294967296 AS band,
       j.first_s,
       j.last_s,
       CASE WHEN j.exposed_s < j.first_s THEN j.first_s ELSE j.exposed_s END AS exposed_s,
       CAST(j.near_s AS BIGINT) AS near_s,
       CAST(j.weighted AS BIGINT) AS weighted,
       CAST(j.total_s AS BIGINT) AS total_s,
       CAST(j.most AS BIGINT) AS most,
       j.closest_db,
       j.sides,
       CASE WHEN j.most >= r.needed THEN 1 ELSE 0 END AS must_call
FROM judged j
CROSS JOIN rule r
WHERE j.most >= r.needed OR r.called_only = 0
ORDER BY 1, 12 DESC, 7 DESC, 2
