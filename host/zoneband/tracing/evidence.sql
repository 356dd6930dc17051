-- Every record, of either side, between a band and any other (pairs.other = -1) or one other, in a
-- span of time.
-- Portable SQL: the same text runs on any engine over the same Parquet files.
-- A record comes once a pair: a band never hears itself.
SELECT p.number, e.observer, e.contact, e.start_s, e.duration_s, e.sightings, e.rssi_mean,
       e.rssi_max, e.due_s, e.clock, e.log_id, e.sector, e.slot, e.boot_id, e.run_s, e.shares,
       e.observer_band, e.contact_band
FROM pairs p
JOIN encounters e ON e.observer = p.band
WHERE e.contact >= 0
  AND e.contact <> e.observer
  AND (p.other = -1 OR e.contact = p.other)
  AND e.start_s < p.to_s
  AND e.start_s + CASE WHEN e.duration_s > 4 THEN e.duration_s ELSE 4 END > p.from_s
UNION ALL
SELECT p.number, e.observer, e.contact, e.start_s, e.duration_s, e.sightings, e.rssi_mean,
       e.rssi_max, e.due_s, e.clock, e.log_id, e.sector, e.slot, e.boot_id, e.run_s, e.shares,
       e.observer_band, e.contact_band
FROM pairs p
JOIN encounters e ON e.contact = p.band
WHERE e.contact <> e.observer
  AND (p.other = -1 OR e.observer = p.other)
  AND e.start_s < p.to_s
  AND e.start_s + CASE WHEN e.duration_s > 4 THEN e.duration_s ELSE 4 END > p.from_s
ORDER BY 1, 4, 2, 11, 12, 13
