-- Schema 2. Never edited once released: what comes later is another step.

-- Another number for each time the store begins a write-ahead log, and for each copy: what tells whether the log beside
-- the file is its own.
CREATE TABLE incarnation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL
) STRICT;
INSERT INTO incarnation VALUES (1, lower(hex(randomblob(16))));
