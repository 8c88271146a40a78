-- The schema of each version of the database, as the steps from the one before. These texts never change.

-- version 1
CREATE TABLE memo (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    task TEXT NOT NULL,
    version TEXT NOT NULL,
    definition BLOB NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX memo_key ON memo (key);
CREATE TABLE definition (
    digest BLOB PRIMARY KEY,
    parts TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    path TEXT NOT NULL,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    counts TEXT NOT NULL,
    saved_ms INTEGER NOT NULL
);
CREATE INDEX run_status ON run (status) WHERE status = 'running';

CREATE TABLE file_stat (
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (dev, ino)
) WITHOUT ROWID;

-- version 2
CREATE TABLE node_time (
    workflow TEXT NOT NULL,
    node TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (workflow, node)
) WITHOUT ROWID;

-- version 3
ALTER TABLE memo ADD COLUMN interface BLOB;
ALTER TABLE memo ADD COLUMN used_ms INTEGER;
CREATE INDEX memo_task ON memo (task, node);
CREATE TABLE interface (
    digest BLOB PRIMARY KEY,
    parts TEXT NOT NULL
) WITHOUT ROWID;

ALTER TABLE run ADD COLUMN invocation TEXT NOT NULL DEFAULT '';
CREATE TABLE document (
    digest BLOB PRIMARY KEY,
    text TEXT NOT NULL
);

ALTER TABLE node_time ADD COLUMN mean_ms INTEGER;

-- version 4
CREATE TABLE footprint (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    bytes INTEGER,
    floor INTEGER NOT NULL DEFAULT 0
);
INSERT INTO footprint (id) VALUES (0);
ALTER TABLE run ADD COLUMN bytes INTEGER;

-- version 5
CREATE TABLE published (
    path BLOB NOT NULL PRIMARY KEY,
    root BLOB NOT NULL,
    content TEXT NOT NULL,
    previous TEXT,
    placed INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    relative BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX published_root ON published (root);
CREATE INDEX published_relative ON published (workflow, relative);

-- version 6
ALTER TABLE memo ADD COLUMN provenance TEXT;

-- version 7
CREATE TABLE execution (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    node TEXT NOT NULL,
    task TEXT NOT NULL,
    key BLOB,
    created_ms INTEGER NOT NULL
);
CREATE TABLE content (
    digest BLOB NOT NULL,
    execution INTEGER NOT NULL,
    used INTEGER NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    file TEXT NOT NULL,
    whole BLOB,
    PRIMARY KEY (digest, used, execution, name, path)
) WITHOUT ROWID;
CREATE INDEX published_content ON published (content);
