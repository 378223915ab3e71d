-- Many servers on one store: which versions may serve it, who does the work in the background, and how far a copy has come.

-- One row. `compatible_from` is the first schema that a program has to know to serve this one: a migration that an older
-- program could not live with raises it. `importing` is the header of the export that is being imported; once that is
-- complete, `imported` is. `imported_rows` counts the rows of it that are here.
CREATE TABLE installation (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    compatible_from INTEGER NOT NULL,
    importing       TEXT,
    imported        TEXT,
    imported_rows   INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO installation (id, compatible_from) VALUES (1, 4);

-- Work that one server does for all. The holder counts `beat` up while it lives; who sees it stand still takes over. No
-- times, for the servers' clocks may differ.
CREATE TABLE leases (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    beat   INTEGER NOT NULL
) STRICT;

-- Counts the changes of a project: a copy of the store that has as many is as new.
ALTER TABLE projects ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
