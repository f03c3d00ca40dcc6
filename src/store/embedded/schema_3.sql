-- Schema 3. Never edited once released: what comes later is another step.

-- Whether the REGISTER came as a datagram; else it came over a connection, which a restart ends.
ALTER TABLE binding ADD COLUMN datagram INTEGER NOT NULL DEFAULT 0;
