-- Many servers on one store: which versions may serve it, who does the work in the background, and how far a copy has come.

-- One row. `compatible_from` is the first schema that a program has to know to serve this one: a migration that an older
-- program could not live with raises it. `importing` is the header of the export that is being imported; once that is
-- complete, `imported` is. `imported_rows` counts the rows of it that are here.
CREATE TABLE installation (
    id              BIGINT PRIMARY KEY CHECK (id = 1),
    compatible_from BIGINT NOT NULL,
    importing       TEXT COLLATE "C",
    imported        TEXT COLLATE "C",
    imported_rows   BIGINT NOT NULL DEFAULT 0
);
INSERT INTO installation (id, compatible_from) VALUES (1, 4);

-- Work that one server does for all. The holder counts `beat` up while it lives; who sees it stand still takes over. No
-- times, for the servers' clocks may differ.
CREATE TABLE leases (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    beat   BIGINT NOT NULL
);

-- Counts the changes of a project: a copy of the store that has as many is as new.
ALTER TABLE projects ADD COLUMN changes BIGINT NOT NULL DEFAULT 0;
