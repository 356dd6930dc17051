-- Every record, of either side, between one band and any other in a span of time.
-- Portable SQL: the same text runs on any engine over the same Parquet files.
-- A record that both the case heard and that heard the case comes once: a band never hears itself.
SELECT observer, contact, start_s, duration_s, sightings, rssi_mean, rssi_max, due_s, clock,
       log_id, sector, slot
FROM encounters
WHERE contact >= 0
  AND (observer = $band OR contact = $band)
  AND observer <> contact
  AND start_s < $to_s
  AND start_s + duration_s >= $from_s
ORDER BY start_s, observer, log_id, sector, slot
