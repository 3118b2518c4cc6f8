-- Numbers are never given twice, so that a cursor stays where it is.
CREATE TABLE result (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE, -- that of the answer
    time         INTEGER NOT NULL,        -- microseconds since 1970, UTC
    detector     TEXT    NOT NULL,
    digest       TEXT    NOT NULL,        -- of the detector's file
    source       TEXT    NOT NULL,        -- what the client called the picture
    width        INTEGER NOT NULL,        -- of the picture
    height       INTEGER NOT NULL,
    score        REAL    NOT NULL,
    threshold    REAL,                    -- NULL: the detector has none
    verdict      TEXT    NOT NULL CHECK (verdict IN ('OK', 'NG', '')),
    regions      INTEGER NOT NULL,        -- how many
    area         INTEGER NOT NULL,        -- of all regions, in pixels
    milliseconds REAL    NOT NULL,        -- that the networks took
    mark         TEXT CHECK (mark IN ('right', 'wrong')), -- what a person says of the verdict
    note         TEXT    NOT NULL DEFAULT '',
    marked       INTEGER                  -- microseconds since 1970, UTC
) STRICT;

CREATE INDEX result_by_time ON result (time);
CREATE INDEX result_by_detector ON result (detector, number);
CREATE INDEX result_by_verdict ON result (verdict, number);
CREATE INDEX result_by_mark ON result (mark, number) WHERE mark IS NOT NULL;

-- Apart, so that a list need not read past pictures; the columns that are wanted most
-- often come first, because SQLite reads a row from its beginning.
CREATE TABLE picture (
    number     INTEGER PRIMARY KEY REFERENCES result (number) ON DELETE CASCADE,
    thumbnail  BLOB NOT NULL, -- JPEG, with what was found painted on it
    answer     TEXT NOT NULL, -- JSON, as it was sent, without pictures
    inspection BLOB NOT NULL, -- destseg.Inspection.MarshalBinary
    copy       BLOB NOT NULL  -- JPEG, at most history.CopySide pixels across
) STRICT;
