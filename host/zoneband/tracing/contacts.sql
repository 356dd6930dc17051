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
--   beside     (step_s)                        from a window to those that a bridged pause may
--                                              reach: -window_s, window_s, …
--   signs      (sign)                          1 and -1
--   rule       (window_s, bridge_s, period_s, needed, drop_shorter_s, drop_beyond_db, called_only,
--               plenty, farthest_db, heaviest) the last step's attenuation, the highest weight
--
-- With called_only = 1 only those come who must be called, and `most` may be less than it is, though
-- never less than is needed. Where a case and a contact were near for `plenty` in one day (NULL:
-- never), what came after is not looked at: it could not undo that they must be called, nor since
-- when. near_s, weighted and total_s are as much as was looked at; and if it is not enough after all
-- they come with must_call = 0, to be asked for again without `plenty`.
--
-- A case's window is carried along from the join by band, so that nothing but that equality links
-- cases to encounters: a planner that joined by the times first would make hundreds of millions of
-- rows. A case and a contact are one number from there on, later these and a window, its place:
-- groups of one number take half the time of groups of two.
--
-- No record is sorted, which took half the time: in nearly every window the least and the highest
-- begin and end tell what is covered. Only windows with a pause inside are looked at again.
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
-- level_dbm and top_dbm: mean and strongest, calibrated.
clipped AS (
    SELECT l.pair, l.side, l.sightings, l.length_s,
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
-- Each case and contact by days (Vietnam's: UTC and 25,200 s), and as a whole. near_s: the windows of
-- each record that is near enough.
days AS (
    SELECT c.pair,
           c.begin_s - (c.begin_s + 25200) % 86400 + 86400 AS end_s,
           MIN(c.begin_s) AS first_s,
           MAX(c.end_s) AS last_s,
           MAX(c.top_dbm) AS top_dbm,
           MIN(c.side) AS one_side,
           MAX(c.side) AS other_side,
           SUM(CASE
               WHEN -20 - c.level_dbm <= r.farthest_db
               THEN CAST((c.end_s - 1) - (c.end_s - 1) % r.window_s
                   - (c.begin_s - c.begin_s % r.window_s) + r.window_s AS DOUBLE)
               ELSE 0 END) AS near_s
    FROM clipped c
    CROSS JOIN rule r
    GROUP BY c.pair, c.begin_s - (c.begin_s + 25200) % 86400 + 86400
),
possible AS (
    SELECT d.pair,
           MIN(d.first_s) AS first_s,
           MAX(d.last_s) AS last_s,
           MAX(d.top_dbm) AS top_dbm,
           MIN(d.one_side) AS one_side,
           MAX(d.other_side) AS other_side,
           SUM(d.near_s) AS near_s,
           MIN(CASE WHEN r.heaviest * d.near_s >= r.plenty THEN d.end_s ELSE NULL END) AS plenty_s
    FROM days d
    CROSS JOIN rule r
    GROUP BY d.pair
),
-- Whoever cannot have enough is left out early, when only those are asked for who must be called: a
-- window counts only if some record in it is near enough. From until_s on nothing is looked at: the
-- last whole window of the first day with plenty ends there. Earlier days are whole, so they count
-- as they do in the end. That day may gain by what follows (a pause over its end that is bridged),
-- but not lose. So whoever must be called by then must be in the end, since the same window.
numbered AS (
    SELECT p.pair, ROW_NUMBER() OVER (ORDER BY p.pair) * 4294967296 AS number,
           COALESCE(p.plenty_s - p.plenty_s % r.window_s, 4294967295) AS until_s,
           p.first_s, p.last_s, p.top_dbm, p.one_side, p.other_side
    FROM possible p
    CROSS JOIN rule r
    WHERE r.called_only = 0 OR r.heaviest * p.near_s >= r.needed
),
-- per_s: sightings a second.
kept AS (
    SELECT n.number, c.level_dbm, c.top_dbm, r.window_s,
           CAST(c.sightings AS DOUBLE) / c.length_s AS per_s,
           c.begin_s,
           CASE WHEN c.end_s < n.until_s THEN c.end_s ELSE n.until_s END AS end_s
    FROM clipped c
    JOIN numbered n ON n.pair = c.pair
    CROSS JOIN rule r
    WHERE c.begin_s < n.until_s
),
reaching AS (
    SELECT number, per_s, level_dbm, top_dbm, begin_s, end_s, window_s,
           begin_s - begin_s % window_s AS first_s,
           (end_s - 1) - (end_s - 1) % window_s AS last_s
    FROM kept
),
-- Each record in each of its windows; begin_s and end_s count from the window's begin.
parts AS (
    SELECT r.number + r.first_s + p.add_s AS place, r.per_s, r.level_dbm, r.top_dbm, r.window_s,
           CAST(r.begin_s - r.first_s - p.add_s AS INTEGER) AS begin_s,
           CAST(r.end_s - r.first_s - p.add_s AS INTEGER) AS end_s
    FROM reaching r
    JOIN spread p ON p.span_s = r.last_s - r.first_s
),
shares AS (
    SELECT place, level_dbm, top_dbm, begin_s, end_s,
           per_s * (CASE WHEN end_s < window_s THEN end_s ELSE window_s END
               - CASE WHEN begin_s > 0 THEN begin_s ELSE 0 END) AS share
    FROM parts
),
windows AS (
    SELECT place,
           MIN(begin_s) AS in_s,
           MAX(begin_s) AS last_in_s,
           MIN(end_s) AS first_out_s,
           MAX(end_s) AS out_s,
           SUM(share) AS share,
           SUM(share * level_dbm) AS level,
           MAX(top_dbm) AS top_dbm
    FROM shares
    GROUP BY place
),
-- Where no record begins longer after another's end than is bridged, they cover all from the first
-- begin to the last end. In the other windows there may be a pause.
torn AS (
    SELECT w.place, w.place - w.place % 4294967296 AS number
    FROM windows w
    CROSS JOIN rule r
    WHERE w.first_out_s + r.bridge_s < w.last_in_s
),
torn_parts AS (
    SELECT r.number + r.first_s + p.add_s AS place, r.begin_s, r.end_s
    FROM (SELECT number FROM torn GROUP BY number) t
    JOIN reaching r ON r.number = t.number
    JOIN spread p ON p.span_s = r.last_s - r.first_s
),
torn_behind AS (
    SELECT p.place, p.begin_s,
           MAX(p.end_s) OVER (
               PARTITION BY p.place ORDER BY p.begin_s
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS before_s
    FROM torn_parts p
    JOIN torn t ON t.place = p.place
),
-- Windows whose first record begins, or whose last one ends, so near the window's edge that a pause
-- over the edge may be bridged: with the last end before and the first begin after.
edges AS (
    SELECT w.place, w.in_s, w.out_s,
           MAX(CASE WHEN b.step_s < 0 THEN n.out_s + b.step_s ELSE NULL END) AS before_s,
           MIN(CASE WHEN b.step_s > 0 THEN n.in_s + b.step_s ELSE NULL END) AS after_s
    FROM windows w
    CROSS JOIN rule r
    CROSS JOIN beside b
    JOIN windows n ON n.place = w.place + b.step_s
    WHERE (w.in_s >= 0 AND w.in_s <= r.bridge_s)
        OR (w.out_s <= r.window_s AND w.out_s >= r.window_s - r.bridge_s)
    GROUP BY w.place, w.in_s, w.out_s
),
-- Each pause once, though both windows at its ends may tell of it.
bridged AS (
    SELECT e.place + e.before_s AS begin_s, e.place + e.in_s AS end_s
    FROM edges e
    CROSS JOIN rule r
    WHERE e.before_s < e.in_s AND e.in_s - e.before_s <= r.bridge_s
    UNION
    SELECT e.place + e.out_s AS begin_s, e.place + e.after_s AS end_s
    FROM edges e
    CROSS JOIN rule r
    WHERE e.out_s < e.after_s AND e.after_s - e.out_s <= r.bridge_s
),
bridged_reaching AS (
    SELECT b.begin_s, b.end_s, r.window_s,
           b.begin_s - b.begin_s % 4294967296 % r.window_s AS first_s,
           (b.end_s - 1) - (b.end_s - 1) % 4294967296 % r.window_s AS last_s
    FROM bridged b
    CROSS JOIN rule r
),
bridged_parts AS (
    SELECT r.first_s + p.add_s AS place, r.begin_s, r.end_s,
           r.first_s + p.add_s + r.window_s AS to_s
    FROM bridged_reaching r
    JOIN spread p ON p.span_s = r.last_s - r.first_s
),
-- Seconds to take from a window where it pauses, or to add where a pause is bridged.
corrections AS (
    SELECT t.place, t.before_s - t.begin_s AS change_s
    FROM torn_behind t
    CROSS JOIN rule r
    WHERE t.begin_s - t.before_s > r.bridge_s
    UNION ALL
    SELECT place,
           CASE WHEN end_s < to_s THEN end_s ELSE to_s END
               - CASE WHEN begin_s > place THEN begin_s ELSE place END AS change_s
    FROM bridged_parts
),
corrected AS (
    SELECT place, SUM(change_s) AS change_s
    FROM corrections
    GROUP BY place
),
-- Of a window without a record, only what is bridged in it.
levels AS (
    SELECT COALESCE(w.place, c.place) AS place,
           CAST(CASE WHEN w.out_s < r.window_s THEN w.out_s
                   WHEN w.out_s >= r.window_s THEN r.window_s ELSE 0 END
               - CASE WHEN w.in_s > 0 THEN w.in_s ELSE 0 END
               + COALESCE(c.change_s, 0) AS DOUBLE) AS covered_s,
           w.top_dbm,
           CASE WHEN w.share > 0 THEN ROUND(-20 - w.level / w.share, 6) ELSE NULL END
               AS attenuation_db
    FROM windows w
    FULL JOIN corrected c ON c.place = w.place
    CROSS JOIN rule r
),
weighed AS (
    SELECT l.place, l.covered_s, l.top_dbm,
           l.place - (l.place % 4294967296 + 25200) % 86400 AS day,
           COALESCE(s.weight, 0) AS weight,
           COALESCE(s.near, 0) AS near
    FROM levels l
    LEFT JOIN steps s ON l.attenuation_db > s.above_db AND l.attenuation_db <= s.upto_db
),
-- Days that do not count: none where the rule drops nothing. Days are Vietnam's: UTC and 25,200 s.
dropped AS (
    SELECT w.day
    FROM weighed w
    CROSS JOIN rule r
    WHERE r.drop_shorter_s > 0 OR r.drop_beyond_db < 1000
    GROUP BY w.day, r.drop_shorter_s, r.drop_beyond_db
    HAVING SUM(w.covered_s) < r.drop_shorter_s OR -20 - MAX(w.top_dbm) > r.drop_beyond_db
),
counted AS (
    SELECT w.place, w.covered_s, w.covered_s * w.near AS near_s,
           CASE WHEN d.day IS NULL THEN w.covered_s * w.weight ELSE 0 END AS value
    FROM weighed w
    LEFT JOIN dropped d ON d.day = w.day
),
-- Whole periods first: most of those who must be called have enough in one of these.
periods AS (
    SELECT c.place - c.place % 4294967296 % r.period_s AS period,
           c.place - c.place % 4294967296 AS number,
           MIN(CASE WHEN c.value > 0 THEN c.place ELSE NULL END) AS exposed,
           SUM(c.near_s) AS near_s,
           SUM(c.value) AS weighted,
           SUM(c.covered_s) AS total_s
    FROM counted c
    CROSS JOIN rule r
    GROUP BY c.place - c.place % 4294967296 % r.period_s, c.place - c.place % 4294967296
),
sums AS (
    SELECT number,
           MIN(exposed) - number AS exposed_s,
           SUM(near_s) AS near_s,
           SUM(weighted) AS weighted,
           SUM(total_s) AS total_s,
           MAX(weighted) AS most
    FROM periods
    GROUP BY number
),
open_question AS (
    SELECT s.number
    FROM sums s
    CROSS JOIN rule r
    WHERE r.called_only = 0 OR (s.weighted >= r.needed AND s.most < r.needed)
),
-- Each window's minutes come at its time and go a period later: the highest sum in between is the
-- most in any period.
running AS (
    SELECT q.number,
           SUM(c.value * g.sign) OVER (
               PARTITION BY q.number
               ORDER BY CASE WHEN g.sign > 0 THEN c.place ELSE c.place + r.period_s END, g.sign
               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
           ) AS total
    FROM counted c
    JOIN open_question q ON q.number = c.place - c.place % 4294967296
    CROSS JOIN signs g
    CROSS JOIN rule r
    WHERE c.value > 0
),
most AS (
    SELECT number, MAX(total) AS most
    FROM running
    GROUP BY number
),
judged AS (
    SELECT p.pair, p.first_s, p.last_s, p.until_s, s.exposed_s, s.near_s, s.weighted, s.total_s,
           -20 - p.top_dbm AS closest_db,
           CASE WHEN p.one_side < p.other_side THEN 3 ELSE p.one_side END AS sides,
           COALESCE(m.most, s.most) AS most
    FROM sums s
    JOIN numbered p ON p.number = s.number
    LEFT JOIN most m ON m.number = s.number
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
WHERE j.most >= r.needed OR r.called_only = 0 OR j.last_s > j.until_s
ORDER BY 1, 12 DESC, 7 DESC, 2
